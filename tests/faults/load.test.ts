import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { demoPassword } from '../../src/cli/invention.ts'
import { testApp } from '../support/app.ts'
import { freshDatabase } from '../support/database.ts'
import { standsApart } from '../support/engines.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { startTool, type Told } from '../support/tool.ts'

standsApart('only the log in Postgres can be loaded in bulk')

const secret = randomBytes(32).toString('base64url')
let database: Awaited<ReturnType<typeof freshDatabase>>
let dataDir: string

beforeAll(async () => {
  database = await freshDatabase()
  dataDir = await temporaryFolder()
})
afterAll(async () => {
  await database.drop()
  await rm(dataDir, { recursive: true, force: true })
})

const darkroom = (...args: string[]): Promise<Told> =>
  startTool({ DATABASE_URL: database.url, SECRET: secret, DATA_DIR: dataDir }, ...args).done

it('a network is loaded in bulk: read models equal the log, and the server goes on from it', { timeout: 120_000 }, async () => {
  const loaded = await darkroom('demo', '--size', '40x150')
  expect(loaded, loaded.output).toMatchObject({ code: 0 })
  const [, username] = /Sign in as (\S+) with/.exec(loaded.output) ?? []
  expect(await darkroom('verify')).toMatchObject({ code: 0 })
  // Once only: what is there stays.
  expect(await darkroom('demo', '--size', '40x150')).toMatchObject({ code: 1, output: expect.stringContaining('not empty') })
  expect(await darkroom('demo', '--size', 'much')).toMatchObject({ code: 1 })

  const config = { eventStoreUrl: null, namespace: '' }
  const app = await testApp({ config, databaseUrl: database.url, mediaDir: dataDir, secret })
  try {
    const { body } = await app.post('/sessions', { login: username, password: demoPassword })
    const headers = { Authorization: `Bearer ${body.session.accessToken}` }
    const feed = (await app.get('/feed?limit=100', { headers })).body.items
    expect(feed).toHaveLength(100)
    const liked = await app.send('PUT', `/posts/${feed[0].id}/like`, { headers })
    expect(liked.body.counts.likes).toBeGreaterThan(0)
    expect((await app.get(`/posts/${feed[0].id}`, { headers, after: liked.token })).body).toMatchObject({
      viewer: { liked: true },
      counts: { likes: liked.body.counts.likes },
    })
  } finally {
    await app.stop()
  }
  expect(await darkroom('verify')).toMatchObject({ code: 0 })
})
