import { execFileSync } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { verify } from '../../src/kernel/projecting/verify.ts'
import { readModels } from '../../src/projections/models.ts'
import { picture, type TestApp, testApp } from '../support/app.ts'
import { eventsBehind } from '../support/log.ts'
import { temporaryFolder } from '../support/temporary.ts'

const folder = await temporaryFolder()

/** A disk of 256 KiB of its own under the pictures, where this user may mount one. */
const mounted = ((): boolean => {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', folder], { stdio: 'ignore' })
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

it.runIf(mounted)(
  'a full disk under the pictures (needs the right to mount one) is 503 for uploads alone, leaves nothing of them behind, and all goes on when there is room',
  async () => {
    const ada = await app.signUp('ada')
    const kept: string[] = []
    const upload = async () =>
      ada.send('POST', '/media', { body: await picture(900, 700), headers: { 'Content-Type': 'image/jpeg' } })
    let full = await upload()
    for (let n = 0; n < 40 && full.status === 201; n++) {
      kept.push(full.body.id)
      full = await upload()
    }
    expect(full).toMatchObject({ status: 503, body: { code: 'unavailable' } })
    expect(Number(full.headers.get('retry-after'))).toBeGreaterThan(0)
    const head = await app.app.store.head()
    expect((await upload()).status).toBe(503)
    expect(await eventsBehind(app.app.store, head)).toEqual([])
    const posted = await ada.post('/posts', { media: [{ id: kept[0] }] })
    expect(posted.status).toBe(201)
    expect((await ada.get('/feed')).body.items).toHaveLength(1)
    execFileSync('mount', ['-o', 'remount,size=4m', folder])
    expect((await upload()).status).toBe(201)
    for (const model of readModels) expect(await verify(app.app, model), model.name).toMatchObject({ differences: [], more: 0 })
  },
)
