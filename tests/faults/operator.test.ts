import { rm } from 'node:fs/promises'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Liked } from '../../src/domain/likes/like.ts'
import { newId } from '../../src/kernel/ids.ts'
import { noStream } from '../../src/kernel/ports/event-store.ts'
import { sql } from '../../src/kernel/sql.ts'
import { likesModel } from '../../src/projections/likes/project.ts'
import { postsModel } from '../../src/projections/posts/project.ts'
import { type Person, type TestApp, testApp } from '../support/app.ts'
import { environmentOf } from '../support/engines.ts'
import { allSettled } from '../support/settled.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { startTool, type Told } from '../support/tool.ts'

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
const darkroom = (...args: string[]): Promise<Told> =>
  startTool({ ...environmentOf(app.databaseUrl), SECRET: app.secret, DATA_DIR: dataDir }, ...args).done

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

it('verify --heal makes anew what differs, and says that it is equal then, beside the server and without it', {
  timeout: 120_000,
}, async () => {
  const drift = sql`update ${likesModel.t.counts} set likes = likes + 1`
  await app.app.db.run(drift)
  const healed = await darkroom('verify', 'comments', 'likes', '--heal')
  expect(healed).toMatchObject({ code: 0 })
  expect(healed.output).toMatch(/^comments: \d+ rows equal the log/m)
  expect(healed.output).toMatch(
    /^likes: differs from the log[\s\S]*^likes: \d+ events in [\s\S]*^likes: \d+ rows again equal the log at position \d+$/m,
  )
  expect(await darkroom('verify', '--heal')).toMatchObject({ code: 0, output: expect.not.stringContaining('events in') })
  const alone = await testApp()
  await (await alone.signUp('eve')).publish()
  await allSettled(alone)
  await alone.app.db.run(sql`delete from ${postsModel.t.posts}`)
  await alone.app.stop()
  const environment = { ...environmentOf(alone.databaseUrl), SECRET: alone.secret, DATA_DIR: dataDir }
  expect(await startTool(environment, 'verify').done).toMatchObject({ code: 1 })
  expect(await startTool(environment, 'verify', '--heal').done).toMatchObject({ code: 0 })
  expect(await startTool(environment, 'verify').done).toMatchObject({ code: 0 })
  await alone.stop()
})

/** Where a rebuild of many events is when it is killed: before which write to its own row. */
const places = [
  ['filling', 'update of position', 'old.position > 0'],
  ['making indexes', 'update of indexed', 'new.indexed'],
  ['swapping', 'delete', 'true'],
] as const

it('a rebuild that was killed goes on from where it stood', { timeout: 180_000 }, async () => {
  const { db, store, codec } = app.app
  const [postId, authorId] = [newId<'post'>(), newId<'account'>()]
  const at = new Date().toISOString()
  for (let n = 0; n < 12; n++) {
    const likes = Array.from({ length: 1_000 }, () =>
      Liked({ actorId: newId<'account'>(), subject: { kind: 'post', id: postId }, postId, authorId }),
    )
    const metadata = { at, correlationId: 'test', causationId: null, actorId: null, sessionId: null }
    await store.append(`like-${newId()}`, await codec.seal(likes, metadata), noStream)
  }
  const gate = new pg.Client({ connectionString: app.databaseUrl })
  await gate.connect()
  for (const [place, event, condition] of places) {
    await gate.query(`
      create function public.halt() returns trigger language plpgsql as $$ begin
        perform pg_advisory_xact_lock(4711);
        return case when tg_op = 'DELETE' then old else new end;
      end $$`)
    await gate.query(
      `create trigger halt before ${event} on kernel.rebuilds for each row when (${condition}) execute function public.halt()`,
    )
    await gate.query('select pg_advisory_lock(4711)')
    const { child, done } = startTool(
      { ...environmentOf(app.databaseUrl), SECRET: app.secret, DATA_DIR: dataDir },
      'rebuild',
      'likes',
    )
    const halted = `select from pg_locks where locktype = 'advisory' and objid = 4711 and not granted`
    await expect.poll(async () => (await gate.query(halted)).rowCount, { timeout: 30_000 }).toBe(1)
    child.kill('SIGKILL')
    expect(await done).toMatchObject({ code: 'SIGKILL' })
    const { rows } = await gate.query('select position, target from kernel.rebuilds')
    await gate.query('select pg_advisory_unlock(4711)')
    await gate.query('drop function public.halt cascade')
    const again = await darkroom('rebuild', 'likes')
    expect(again, `${place}: ${again.output}`).toMatchObject({ code: 0 })
    expect(again.output).toContain(`likes: goes on from position ${rows[0].position} of `)
    expect(Number(rows[0].position)).toBeGreaterThan(0)
    expect((await db.run(sql`select key from kernel.rebuilds`)).length).toBe(0)
    expect(await darkroom('verify', 'likes')).toMatchObject({ code: 0 })
  }
  await gate.end()
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
