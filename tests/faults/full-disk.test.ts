import { execFileSync } from 'node:child_process'
import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { verify } from '../../src/kernel/projecting/verify.ts'
import { readModels } from '../../src/projections/models.ts'
import { picture, type TestApp, testApp } from '../support/app.ts'
import { Client } from '../support/client.ts'
import { points, randomOf, repeat, seed, underLoad } from '../support/load.ts'
import { eventsBehind } from '../support/log.ts'
import { allSettled } from '../support/settled.ts'
import { temporaryFolder } from '../support/temporary.ts'

const folder = await temporaryFolder()

/** A disk of 4 MiB of its own under the pictures, where this user may mount one. */
const mounted = ((): boolean => {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', folder], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

let app: TestApp

beforeAll(async () => {
  if (mounted) app = await testApp({ mediaDir: folder })
})
afterAll(async () => {
  try {
    if (mounted) await app.stop()
  } finally {
    if (mounted) execFileSync('umount', [folder])
  }
  await rm(folder, { recursive: true, force: true })
})

/** Fills the disk but for so many pages. */
async function fill(path: string, free: number): Promise<void> {
  const page = 4_096
  const file = await open(path, 'w')
  let written = 0
  try {
    for (;;) written += (await file.write(Buffer.alloc(page))).bytesWritten
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    await file.truncate(written - free * page)
  } finally {
    await file.close()
  }
}

it.runIf(mounted)(
  `a full disk under the pictures (needs the right to mount one) is 503 for uploads alone, leaves nothing of them behind, and all goes on when there is room ${repeat}`,
  { timeout: 120_000 + points * 20_000 },
  async () => {
    const { port } = await app.listen()
    const client = (): Client => new Client(() => `http://127.0.0.1:${port}`)
    const ada = await app.signUp('ada')
    const upload = async () =>
      ada.send('POST', '/media', { body: await picture(900, 700), headers: { 'Content-Type': 'image/jpeg' } })
    const kept: string[] = []
    const random = randomOf(seed)
    const ballast = join(folder, 'ballast')
    await underLoad({ author: client(), writers: [client(), client()], pauseMs: 20 }, async () => {
      for (let n = 0; n < points; n++) {
        // Room for some of a picture's files, at most.
        await fill(ballast, Math.floor(random() * 3))
        const full = await upload()
        expect(full).toMatchObject({ status: 503, body: { code: 'unavailable' } })
        expect(Number(full.headers.get('retry-after'))).toBeGreaterThan(0)
        if (n > 0) expect((await ada.post('/posts', { media: [{ id: kept.at(-1) }] })).status).toBe(201)
        await rm(ballast)
        const again = await upload()
        expect(again.status).toBe(201)
        kept.push(again.body.id)
      }
    })
    await allSettled(app)
    // Nothing is there that nobody was told of: neither files nor drafts of them.
    const told = (await eventsBehind(app.app.store, 0)).filter(({ type }) => type === 'MediaUploaded')
    const folders = new Set<string>()
    for (const path of await readdir(folder, { recursive: true })) {
      const [, id] = /^media\/[^/]+\/([^/]+)\//.exec(path) ?? []
      if (id !== undefined) folders.add(id)
    }
    expect([...folders].sort()).toEqual(told.map(({ data }) => (data as { mediaId: string }).mediaId).sort())
    expect(await readdir(join(folder, '.tmp'))).toEqual([])
    for (const model of readModels) expect(await verify(app.app, model), model.name).toMatchObject({ differences: [], more: 0 })
  },
)
