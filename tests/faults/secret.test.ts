import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { closePool, database, openPool } from '../../src/adapters/postgres/database.ts'
import { openRoot } from '../../src/adapters/postgres/root.ts'
import { wrap } from '../../src/adapters/postgres/wrapping.ts'
import { keyOf, Secrets } from '../../src/kernel/secrets.ts'
import { type Database, sql } from '../../src/kernel/sql.ts'
import { type Answer, type Person, type TestApp, testApp } from '../support/app.ts'
import { allSettled } from '../support/settled.ts'

const [first, second, third] = [0, 1, 2].map(() => randomBytes(32).toString('base64url')) as [string, string, string]

let home: TestApp
let pool: pg.Pool
let db: Database
const nodes: TestApp[] = []
let ada: Person
let post: Awaited<ReturnType<Person['publish']>>
let made: Answer<{ id: string }>

const once = { headers: { 'Idempotency-Key': 'the-same-every-time' } }

beforeEach(async () => {
  home = await testApp({ secret: first })
  pool = openPool(home.databaseUrl, 6, () => {})
  db = database(pool)
  ada = await home.signUp('ada')
  post = await ada.publish({ caption: 'written under the first' })
  made = await ada.post(`/posts/${post.id}/comments`, { text: 'once' }, once)
  expect(made.status).toBe(201)
  await allSettled(home)
})
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.stop()
  await closePool(pool)
  await home.stop()
})

/** Another node of the deployment. */
async function node(secret: string, secretPrevious: string | null = null): Promise<TestApp> {
  const app = await testApp({ databaseUrl: home.databaseUrl, mediaDir: home.mediaDir, secret, config: { secretPrevious } })
  nodes.push(app)
  return app
}
const wrapped = async (): Promise<Buffer> => (await db.run<{ wrapped: Buffer }>(sql`select wrapped from keys.root`))[0]!.wrapped

/** What never changes with SECRET. Answers the session that it signed in. */
async function expectSame(app: TestApp): Promise<{ accessToken: string; refreshToken: string }> {
  const { password } = ada
  for (const login of ['ada', 'ada@example.org']) expect((await app.post('/sessions', { login, password })).status).toBe(201)
  const { session } = (await app.post('/sessions', { login: 'ada', password })).body
  const headers = { Authorization: `Bearer ${session.accessToken}` }
  const read = await app.get(`/posts/${post.id}`, { headers })
  expect(read.body).toMatchObject({ caption: 'written under the first', counts: { comments: 1 } })
  expect((await app.get(read.body.media[0].renditions[0].url)).status).toBe(200)
  const again = await app.post(`/posts/${post.id}/comments`, { text: 'once' }, { headers: { ...headers, ...once.headers } })
  expect(again).toMatchObject({ status: 201, body: { id: made.body.id } })
  expect(
    (await app.post('/accounts', { username: 'ada', email: 'other@example.org', password: 'somebody else’s password' })).body
      .code,
  ).toBe('username_taken')
  return session
}

describe('a changed SECRET', () => {
  it('with SECRET_PREVIOUS keeps all as it was, tokens, cursors and pictures of before too; without it all but those', {
    timeout: 120_000,
  }, async () => {
    const picture = (await ada.get(`/posts/${post.id}`)).body.media[0].renditions[0].url
    await ada.publish()
    const { nextCursor } = (await ada.get('/accounts/ada/posts?limit=1')).body
    expect(nextCursor).toEqual(expect.any(String))
    await home.app.stop()

    const before = await wrapped()
    const changed = await node(second, first)
    expect((await wrapped()).equals(before)).toBe(false)
    const headers = { Authorization: `Bearer ${ada.session.accessToken}` }
    const next = `/accounts/ada/posts?limit=1&cursor=${nextCursor}`
    expect((await changed.get('/me', { headers, after: ada.token })).status).toBe(200)
    expect((await changed.get(next, { headers })).status).toBe(200)
    expect((await changed.get(picture)).status).toBe(200)
    const { refreshToken } = ada.session
    const refreshed = await changed.post('/sessions/refresh', { refreshToken })
    expect(refreshed.status).toBe(201)
    const session = await expectSame(changed)
    const written = await changed.post(`/posts/${post.id}/comments`, { text: 'under the second' }, { headers })
    expect(written.status).toBe(201)
    await changed.app.stop()

    const alone = await node(second)
    expect((await alone.get('/me', { headers })).body.code).toBe('access_token_invalid')
    expect((await alone.get('/me', { headers: { Authorization: `Bearer ${session.accessToken}` } })).status).toBe(200)
    expect((await alone.get(next, { headers: { Authorization: `Bearer ${session.accessToken}` } })).body.code).toBe(
      'cursor_invalid',
    )
    expect((await alone.get(picture)).status).toBe(404)
  })

  it('holds for two nodes, one of each, that accept each other’s', { timeout: 120_000 }, async () => {
    await home.app.stop()
    const old = await node(first, second)
    const fresh = await node(second, first)
    const sessions = [await expectSame(old), await expectSame(fresh)]
    for (const app of [old, fresh]) {
      for (const { accessToken } of sessions)
        expect((await app.get('/me', { headers: { Authorization: `Bearer ${accessToken}` } })).status).toBe(200)
    }
    // What one of them writes the other reads, with the other's token.
    const headers = { Authorization: `Bearer ${sessions[0]!.accessToken}` }
    const { body, token } = await fresh.post(`/posts/${post.id}/comments`, { text: 'from the new one' }, { headers })
    const read = await old.get(`/comments/${body.id}`, { headers, after: token })
    expect(read.body.text).toBe('from the new one')
  })

  it('is followed by another, by many nodes at once, and no earlier one opens anything any more', async () => {
    const roots = async (secret: string, previous: string | null): Promise<string[]> => {
      const all = Array.from({ length: 5 }, () => new Secrets(secret, previous))
      await Promise.all(all.map(secrets => openRoot(db, secrets)))
      return all.map(secrets => secrets.key('master').toString('hex'))
    }
    const masters = new Set([
      ...(await roots(first, null)),
      ...(await roots(second, first)),
      ...(await roots(third, second)),
      ...(await roots(third, null)),
    ])
    expect(masters.size).toBe(1)
    for (const secret of [first, second]) await expect(openRoot(db, new Secrets(secret))).rejects.toThrow('SECRET is not the one')
    await expect(openRoot(db, new Secrets(second, first))).rejects.toThrow('SECRET is not the one')
  })
})

describe('a wrong SECRET', () => {
  it('is refused, and changes nothing', async () => {
    const before = await wrapped()
    for (const previous of [null, third]) await expect(node(second, previous)).rejects.toThrow('SECRET is not the one')
    expect((await wrapped()).equals(before)).toBe(true)
  })

  it('is refused also where no root was made yet, and the right one becomes it', async () => {
    // As a release that had no root left it: the SECRET itself.
    const [{ subject } = { subject: '' }] = await db.run<{ subject: string }>(sql`select subject from keys.keys`)
    const elder = new Secrets(first)
    await db.run(sql`delete from keys.root`)
    await expect(openRoot(db, new Secrets(second))).rejects.toThrow('SECRET is not the one')
    expect(await db.run(sql`select from keys.root`)).toHaveLength(0)
    await db.run(
      sql`update keys.keys set wrapped = ${wrap(keyOf(first, 'master'), subject, randomBytes(32))} where subject = ${subject}`,
    )
    await openRoot(db, elder)
    for (const use of ['names', 'emails', 'idempotency', 'master'] as const)
      expect(elder.key(use).equals(keyOf(first, use))).toBe(true)
    const later = new Secrets(second, first)
    expect(await openRoot(db, later)).toBe(true)
    expect(later.key('names').equals(keyOf(first, 'names'))).toBe(true)
  })
})

it('who has the database alone has nothing: the root is wrapped, and random where the deployment is new', async () => {
  const secrets = new Secrets(first)
  await openRoot(db, secrets)
  expect(secrets.key('master').equals(keyOf(first, 'master'))).toBe(false)
  // The rows of the key store hold neither the root nor a key in clear: a root is text of 43 characters.
  expect((await wrapped()).length).toBe(12 + 43 + 16)
  expect((await wrapped()).toString('latin1')).not.toMatch(/[\w-]{20}/)
})
