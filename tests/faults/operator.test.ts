import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { sql } from '../../src/kernel/sql.ts'
import { likesModel } from '../../src/projections/likes/project.ts'
import { type Person, type TestApp, testApp } from '../support/app.ts'
import { environmentOf } from '../support/engines.ts'
import { temporaryFolder } from '../support/temporary.ts'

let app: TestApp
let dataDir: string
let ada: Person

beforeAll(async () => {
  app = await testApp()
  dataDir = await temporaryFolder()
  ada = await app.signUp('ada')
  const post = await ada.publish({ caption: 'one' })
  const bob = await app.signUp('bob')
  await bob.follow(ada)
  await bob.put(`/posts/${post.id}/like`, undefined, { after: ada.token })
  await bob.post(`/posts/${post.id}/comments`, { text: 'two' })
  await ada.get(`/posts/${post.id}`, { after: bob.token })
})
afterAll(async () => {
  await app.stop()
  await rm(dataDir, { recursive: true, force: true })
})

/** The operator's tool in a process of its own, beside the server that runs. */
const darkroom = (...args: string[]): Promise<{ code: number; output: string }> =>
  new Promise(resolve => {
    const { PATH, HOME } = process.env
    const env = { PATH, HOME, ...environmentOf(app.databaseUrl), SECRET: app.secret, DATA_DIR: dataDir }
    const cwd = fileURLToPath(new URL('../../', import.meta.url))
    execFile(process.execPath, ['start.mjs', 'src/cli.ts', ...args], { cwd, env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    )
  })

it('verify exits 0 while all is equal, 1 and says where as soon as a row is not, and a rebuild mends it while the server runs', {
  timeout: 120_000,
}, async () => {
  const clean = await darkroom('verify')
  expect(clean).toMatchObject({ code: 0 })
  expect(clean.output).toMatch(/^likes: 2 rows equal the log at position \d+$/m)
  await app.app.db.run(sql`update ${likesModel.t.counts} set likes = likes + 1`)
  const drift = await darkroom('verify')
  expect(drift.code).toBe(1)
  expect(drift.output).toMatch(/^likes: differs from the log/m)
  expect(drift.output).toMatch(/counts, live only: .*"likes": ?2/)
  const rebuilt = await darkroom('rebuild', 'likes')
  expect(rebuilt).toMatchObject({ code: 0 })
  expect(await darkroom('verify', 'likes', 'comments')).toMatchObject({ code: 0 })
  // The server goes on with the new tables.
  const post = await ada.publish()
  expect((await ada.put(`/posts/${post.id}/like`)).body.counts.likes).toBe(1)
  expect((await ada.get(`/posts/${post.id}`)).body).toMatchObject({ viewer: { liked: true }, counts: { likes: 1 } })
  expect(await darkroom('rebuild', '--all')).toMatchObject({ code: 0 })
  expect(await darkroom('verify')).toMatchObject({ code: 0 })
})

it('says how things stand, and helps', { timeout: 60_000 }, async () => {
  const status = await darkroom('status')
  expect(status.code).toBe(0)
  for (const name of ['accounts', 'feed', 'live', 'reaction_keep_accounts']) expect(status.output).toContain(name)
  expect(await darkroom('help')).toMatchObject({ code: 0 })
  expect((await darkroom('help')).output).toContain('verify')
  expect((await darkroom('nonsense')).code).toBe(1)
  expect(await darkroom('rebuild', 'nonsense')).toMatchObject({
    code: 1,
    output: expect.stringContaining('There is no read model nonsense'),
  })
  expect(await darkroom('migrate')).toMatchObject({ code: 0, output: expect.stringContaining('Nothing to do') })
})

it('resume sets a paused read model going again', { timeout: 60_000 }, async () => {
  expect(await darkroom('resume', 'likes')).toMatchObject({ code: 1, output: expect.stringContaining('is not paused') })
  await app.app.db.run(
    sql`update kernel.consumers set state = 'paused', error = '{"id":"","type":"Liked","stream":"","position":1,"message":"x"}' where key = ${likesModel.key}`,
  )
  expect((await darkroom('status')).code).toBe(1)
  expect(await darkroom('resume', 'likes')).toMatchObject({ code: 0 })
  expect((await darkroom('status')).code).toBe(0)
})

it('fills the network with a demo beside the running server, through the commands', { timeout: 120_000 }, async () => {
  const { code, output } = await darkroom('demo', '10')
  expect(code, output).toBe(0)
  const [, username, password] = /Sign in as (\S+) with the password "(.+)"\./.exec(output) ?? []
  const signedIn = await app.post('/sessions', { login: username, password })
  expect(signedIn.status).toBe(201)
  const headers = { Authorization: `Bearer ${signedIn.body.session.accessToken}` }
  await expect
    .poll(async () => (await app.get('/feed?limit=100', { headers })).body.items.length, { timeout: 10_000 })
    .toBeGreaterThan(0)
  expect(await darkroom('verify')).toMatchObject({ code: 0 })
  expect(await darkroom('demo', 'many')).toMatchObject({ code: 1 })
})
