import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { openPool } from '../../src/adapters/postgres/database.ts'
import { stopEmbeddedPostgres } from '../../src/adapters/postgres/embedded.ts'
import { rebuild } from '../../src/kernel/projecting/rebuild.ts'
import { verify } from '../../src/kernel/projecting/verify.ts'
import { sql } from '../../src/kernel/sql.ts'
import { accountsModel } from '../../src/projections/accounts/project.ts'
import { commentsModel } from '../../src/projections/comments/project.ts'
import { readModels } from '../../src/projections/models.ts'
import { type Person, picture, type TestApp, type TestAppOptions, testApp } from '../support/app.ts'
import { type Backup, byDump, byRows, migrated, type Take } from '../support/backup.ts'
import { Client } from '../support/client.ts'
import { freshDatabase } from '../support/database.ts'
import { standsApart } from '../support/engines.ts'
import { listenLive } from '../support/live.ts'
import { type ServerProcess, startServer } from '../support/server.ts'
import { allSettled } from '../support/settled.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { WireLog } from '../support/wire/log.ts'
import { WireServer } from '../support/wire-server.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })
standsApart('what is backed up and restored are logs and databases of its own')

/** PG_BIN: the folder of a pg_dump and pg_restore no older than the server of the tests. */
const { PG_BIN } = process.env
const ways: [name: string, take: Take, skipped: boolean][] = [
  ['row for row', byRows, false],
  ['by pg_dump (PG_BIN)', byDump(PG_BIN ?? ''), PG_BIN === undefined],
]

const expectVerified = async ({ app }: TestApp): Promise<void> => {
  for (const model of readModels) expect(await verify(app, model), model.name).toMatchObject({ differences: [], more: 0 })
}

/** A person of before, at the restored network, without any token of before. */
const at = (app: TestApp, { session }: Person) => {
  const headers = { Authorization: `Bearer ${session.accessToken}` }
  return {
    get: (path: string, after?: string | null) => app.get(path, { headers, after }),
    send: (method: string, path: string, body?: unknown, more: Record<string, string> = {}) =>
      app.send(method, path, { headers: { ...headers, ...more }, body }),
  }
}
const captions = ({ body }: { body: { items: { caption: string }[] } }): string[] => body.items.map(({ caption }) => caption)
const signIn = (app: TestApp, { username, password }: Person) => app.post('/sessions', { login: username, password })

const ending: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end()
})
const started = async (options: TestAppOptions): Promise<TestApp> => {
  const app = await testApp(options)
  ending.push(() => app.stop())
  return app
}
const taken = async (take: Take, ...of: Parameters<Take>): Promise<Backup> => {
  const backup = await take(...of)
  ending.push(() => backup.forget())
  return backup
}
/** Room for the rows of other keys. */
async function emptied(url: string): Promise<void> {
  const pool = openPool(url, 1, () => {})
  await pool.query('truncate keys.root, keys.keys, keys.erasures_seen')
  await pool.end()
}
const emptyDatabase = async (): Promise<string> => {
  const fresh = await freshDatabase()
  ending.push(() => fresh.drop())
  return fresh.url
}

it('the embedded default: DATA_DIR copied whole while nothing runs starts as the network of then', async () => {
  const folder = await temporaryFolder()
  const [original, copy] = [join(folder, 'original'), join(folder, 'copy')]
  const servers: ServerProcess[] = []
  ending.push(async () => {
    for (const server of servers) await server.end('SIGKILL')
    for (const dataDir of [original, copy]) await stopEmbeddedPostgres(dataDir)
    await rm(folder, { recursive: true, force: true })
  })
  const start = async (dataDir: string): Promise<ServerProcess> => {
    const server = await startServer({ DATA_DIR: dataDir })
    servers.push(server)
    return server
  }
  const first = await start(original)
  let { url } = first
  const ada = new Client(() => url)
  const bob = new Client(() => url)
  await ada.signUp('ada')
  const { id: mediaId } = await ada.send('POST', '/media', await picture())
  const { id: postId } = await ada.send('POST', '/posts', { media: [{ id: mediaId }], caption: 'kept' })
  expect(await first.end('SIGTERM')).toBe(0)
  await promisify(execFile)('cp', ['-a', original, copy])

  // The original goes on, on its own database, also beside the copy.
  url = (await start(original)).url
  await bob.signUp('bob')
  await ada.send('PATCH', `/posts/${postId}`, { caption: 'lost' })
  const lost = ada.token!
  const ofThen = url
  ;({ url } = await start(copy))
  ada.token = null
  const post = await ada.send('GET', `/posts/${postId}`)
  expect(post.caption).toBe('kept')
  const { pathname, search } = new URL(post.media[0].renditions[0].url)
  expect((await fetch(`${url}${pathname}${search}`)).status).toBe(200)
  const asked = (path: string, headers: Record<string, string>) => fetch(`${url}/v1${path}`, { headers })
  const authorized = { Authorization: `Bearer ${ada.accessToken}` }
  expect((await asked('/me', { Authorization: `Bearer ${bob.accessToken}` })).status).toBe(401)
  const behind = await asked(`/posts/${postId}`, { ...authorized, 'Consistency-Token': lost })
  expect([behind.status, behind.headers.get('retry-after')]).toEqual([503, '1'])
  await bob.signUp('bob')
  expect(await (await fetch(`${ofThen}/v1/posts/${postId}`, { headers: authorized })).json()).toMatchObject({ caption: 'lost' })
  const { PATH = '', HOME = '' } = process.env
  const { stdout } = await promisify(execFile)(process.execPath, ['start.mjs', 'src/cli.ts', 'verify'], {
    env: { PATH, HOME, DATA_DIR: copy },
  })
  expect(stdout.match(/ equal the log at position /g)).toHaveLength(readModels.length)
})

describe('the log in PostgreSQL', () => {
  const onPostgres = { eventStoreUrl: null, namespace: '', natsUrl: null }

  for (const [name, take, skipped] of ways) {
    it.skipIf(skipped)(`is restored from one dump, taken while it serves, ${name}`, async () => {
      const before = await started({ config: onPostgres })
      const [ada, bob] = [await before.signUp('ada'), await before.signUp('bob')]
      await bob.follow(ada)
      const post = await ada.publish({ caption: 'kept' })
      let writing = true
      const writes = (async () => {
        while (writing) await bob.post(`/posts/${post.id}/comments`, { text: 'meanwhile' })
      })()
      const backup = await taken(take, before.databaseUrl, 'all')
      writing = false
      await writes

      const lives = await listenLive(before, bob)
      await ada.publish({ caption: 'lost' })
      await lives.next('feed.post')
      const { lastEventId } = lives
      lives.end()
      const lostSession = (await signIn(before, ada)).body.session
      const comment = [`/posts/${post.id}/comments`, { text: 'twice' }, { 'Idempotency-Key': 'one' }] as const
      const lostComment = await at(before, bob).send('POST', ...comment)
      expect(lostComment.status).toBe(201)

      const databaseUrl = await emptyDatabase()
      await backup.restore(databaseUrl)
      const { mediaDir, secret } = before
      const after = await started({ databaseUrl, mediaDir, secret, config: onPostgres })
      await allSettled(after)
      await expectVerified(after)
      expect(captions(await at(after, bob).get('/feed'))).toEqual(['kept'])
      // Sessions of before are there, those of the lost time are not.
      expect((await at(after, ada).get('/me')).status).toBe(200)
      const lost = await after.get('/me', { headers: { Authorization: `Bearer ${lostSession.accessToken}` } })
      expect(lost).toMatchObject({ status: 401, body: { code: 'session_revoked' } })
      // A position that is not there yet: the read says so, and does not guess.
      const behind = await at(after, bob).get('/feed', lostComment.token)
      expect(behind).toMatchObject({ status: 503, body: { code: 'read_model_behind' } })
      const again = await listenLive(after, bob, lastEventId)
      expect(again.messages[0]?.type).toBe('resync')
      again.end()
      // Whoever repeats what was lost has it done, once, under the same id.
      const repeated = await at(after, bob).send('POST', ...comment)
      expect(repeated).toMatchObject({ status: 201, body: { id: lostComment.body.id } })
    })
  }
})

describe.each(ways)('an erasure after the backup of the log, %s', (_name, take, skipped) => {
  const onPostgres = { eventStoreUrl: null, namespace: '', natsUrl: null }

  it.skipIf(skipped)('is lost with the log, but not with the keys: newer ones keep who was erased away', async () => {
    const before = await started({ config: onPostgres })
    const [ada, bob] = [await before.signUp('ada'), await before.signUp('bob')]
    const post = await ada.publish()
    await bob.post(`/posts/${post.id}/comments`, { text: 'words of Bob' }, { after: ada.token })
    await allSettled(before)
    const all = await taken(take, before.databaseUrl, 'all')
    expect((await bob.post('/me/erasure')).status).toBe(202)
    await allSettled(before)
    const keys = await taken(take, before.databaseUrl, 'keys')

    const databaseUrl = await emptyDatabase()
    await all.restore(databaseUrl)
    const { mediaDir, secret } = before
    const restored = () => started({ databaseUrl, mediaDir, secret, config: onPostgres })
    // The dump alone knows of no erasure.
    const unknowing = await restored()
    expect((await signIn(unknowing, bob)).status).toBe(201)
    await unknowing.stop()

    await emptied(databaseUrl)
    await keys.restore(databaseUrl, { rowsOnly: true })
    const app = await restored()
    for (const model of readModels) await rebuild(app.app, model)
    await expectVerified(app)
    expect((await signIn(app, bob)).status).toBe(401)
    expect((await app.get(`/accounts/${bob.id}`)).status).toBe(404)
    expect((await at(app, ada).get(`/posts/${post.id}/comments`)).body.items).toEqual([])
    const rows = await app.app.db.run<{
      row: string
    }>(sql`select row_to_json(a)::text as row from ${accountsModel.t.accounts} a union all
      select row_to_json(c)::text from ${accountsModel.t.credentials} c union all select row_to_json(c)::text from ${commentsModel.t.comments} c`)
    expect(JSON.stringify(rows)).toContain('ada@example.org')
    for (const word of ['bob', 'words of Bob']) expect(JSON.stringify(rows)).not.toContain(word)
  })
})

describe.each(ways)('the log in EventStoreDB (the wire only), the rest in PostgreSQL, %s', (_name, take, skipped) => {
  let kept: { mediaDir: string; secret: string }
  let after: WireServer
  let people: Record<'ada' | 'bob' | 'cleo' | 'dora', Person>
  let commented: string
  let olderKeys: Backup
  let models: Backup
  let log: WireLog
  let keys: Backup
  let aheadOfLog: Backup
  const closing: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    if (skipped) return
    const wire = await WireServer.start()
    kept = { mediaDir: await temporaryFolder(), secret: randomBytes(32).toString('base64url') }
    closing.push(() => rm(kept.mediaDir, { recursive: true, force: true }))
    const before = await testApp({ ...kept, config: { eventStoreUrl: wire.url, namespace: '', natsUrl: null } })
    const backup = async (what: Parameters<Take>[1]): Promise<Backup> => {
      const backup = await take(before.databaseUrl, what)
      closing.push(() => backup.forget())
      return backup
    }
    const [ada, bob] = [await before.signUp('ada'), await before.signUp('bob')]
    await bob.follow(ada)
    const post = await ada.publish({ caption: 'kept' })
    await allSettled(before)
    models = await backup('but keys')
    olderKeys = await backup('keys')
    const cleo = await before.signUp('cleo')
    commented = `/posts/${post.id}/comments`
    expect((await cleo.post(commented, { text: 'behind the models' }, { after: ada.token })).status).toBe(201)
    expect((await bob.post('/me/erasure')).status).toBe(202)
    await allSettled(before)
    log = new WireLog(wire.log)
    const dora = await before.signUp('dora')
    await dora.publish()
    await allSettled(before)
    keys = await backup('keys')
    aheadOfLog = await backup('but keys')
    people = { ada, bob, cleo, dora }
    await before.stop()
    await wire.close()
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })
  beforeEach(async () => {
    if (skipped) return
    after = await WireServer.start(new WireLog(log))
    ending.push(() => after.close())
  })

  const restored = (databaseUrl: string): Promise<TestApp> =>
    started({ ...kept, databaseUrl, config: { eventStoreUrl: after.url, namespace: '', natsUrl: null } })
  const texts = async (app: TestApp): Promise<string[]> =>
    (await at(app, people.ada).get(commented)).body.items.map(({ text }: { text: string }) => text)

  it.skipIf(skipped)('models older than the log, keys newer: it starts, catches up, and is all there', async () => {
    const databaseUrl = await emptyDatabase()
    await models.restore(databaseUrl)
    await keys.restore(databaseUrl)
    const app = await restored(databaseUrl)
    await allSettled(app)
    await expectVerified(app)
    expect(await texts(app)).toEqual(['behind the models'])
    expect((await signIn(app, people.cleo)).status).toBe(201)
    // Erased after that backup of the models, and gone from them; what came after that of the log is lost with it.
    expect((await app.get(`/accounts/${people.bob.id}`)).status).toBe(404)
    expect((await app.get('/accounts/dora')).status).toBe(404)
    expect((await app.signUp('dora')).id).not.toBe(people.dora.id)
    await expectVerified(app)
  })

  it.skipIf(skipped)(
    'models ahead of the log are refused; a new database takes the keys and makes them from the log',
    async () => {
      const databaseUrl = await emptyDatabase()
      await aheadOfLog.restore(databaseUrl)
      await keys.restore(databaseUrl)
      await expect(restored(databaseUrl)).rejects.toThrow(
        /^\w+ has seen the log up to \d+, but the log ends at \d+: it was restored or is another one\. Restore the database of this log\.$/,
      )
      const fresh = await emptyDatabase()
      await migrated(fresh)
      await keys.restore(fresh, { rowsOnly: true })
      const app = await restored(fresh)
      await allSettled(app)
      await expectVerified(app)
      expect(await texts(app)).toEqual(['behind the models'])
      expect((await signIn(app, people.cleo)).status).toBe(201)
      expect((await app.get(`/accounts/${people.bob.id}`)).status).toBe(404)
    },
  )

  it.skipIf(skipped)('keys older than the log: who signed up in between is not there, until newer keys are put in', async () => {
    const databaseUrl = await emptyDatabase()
    await models.restore(databaseUrl)
    await olderKeys.restore(databaseUrl)
    const app = await restored(databaseUrl)
    await allSettled(app)
    await expectVerified(app)
    expect((await app.get('/accounts/cleo')).status).toBe(404)
    expect((await signIn(app, people.cleo)).status).toBe(401)
    expect(await texts(app)).toEqual([])
    // The erased one's key was in that backup: the start destroyed it again.
    const [bob] = await app.app.db.run(sql`select wrapped from keys.keys where subject = ${people.bob.id}`)
    expect(bob).toEqual({ wrapped: null })
    expect((await app.get(`/accounts/${people.bob.id}`)).status).toBe(404)
    expect((await signIn(app, people.bob)).status).toBe(401)

    await app.stop()
    await emptied(databaseUrl)
    await keys.restore(databaseUrl, { rowsOnly: true })
    const again = await restored(databaseUrl)
    for (const model of readModels) await rebuild(again.app, model)
    await expectVerified(again)
    expect((await signIn(again, people.cleo)).status).toBe(201)
    expect(await texts(again)).toEqual(['behind the models'])
    expect((await again.get(`/accounts/${people.bob.id}`)).status).toBe(404)
  })
})
