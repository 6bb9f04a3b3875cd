import { readdir } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sql } from '../../src/kernel/sql.ts'
import { accountsModel } from '../../src/projections/accounts/project.ts'
import { type Person, picture, type TestApp, testApp } from '../support/app.ts'
import { allSettled } from '../support/settled.ts'

let app: TestApp
beforeAll(async () => {
  app = await testApp()
})
afterAll(() => app.stop())

const reacted = () => allSettled(app)

describe('one’s profile', () => {
  it('changes what is named, clears with null and keeps the rest', async () => {
    const person = await app.signUp(undefined, { displayName: 'Ada' })
    const changes = {
      bio: 'Light,\nmostly',
      website: 'https://ada.example/?a=1#b',
      pronouns: 'she/her',
      gender: 'woman',
      birthDate: '1990-12-10',
      city: 'London',
      country: 'United Kingdom',
    }
    const changed = await person.patch('/me', changes)
    expect(changed.status).toBe(200)
    expect(changed.body).toMatchObject({ ...changes, displayName: 'Ada' })
    const cleared = await person.patch('/me', { bio: null, city: ' ', displayName: 'A\u0301da' })
    expect(cleared.body).toMatchObject({ bio: null, city: null, displayName: '\u00c1da', country: 'United Kingdom' })
    expect((await person.get('/me')).body).toEqual(cleared.body)
    const other = await app.signUp()
    const seen = (await other.get(`/accounts/${person.id}`, { after: person.token })).body
    expect(seen).toMatchObject({ bio: null, website: changes.website })
    for (const secret of ['email', 'birthDate', 'gender', 'city', 'country', 'createdAt']) expect(seen).not.toHaveProperty(secret)
  })

  it('tells when it was changed meanwhile', async () => {
    const person = await app.signUp()
    const etag = (await person.get('/me')).headers.get('etag')!
    expect((await person.get('/me', { headers: { 'If-None-Match': etag } })).status).toBe(304)
    const changed = await person.patch('/me', { bio: 'one' }, { headers: { 'If-Match': etag } })
    expect(changed.status).toBe(200)
    const late = await person.patch('/me', { bio: 'two' }, { headers: { 'If-Match': etag } })
    expect([late.status, late.body.code]).toEqual([412, 'version_conflict'])
    expect((await person.patch('/me', { bio: 'two' }, { headers: { 'If-Match': changed.headers.get('etag')! } })).status).toBe(
      200,
    )
    expect((await person.patch('/me', { bio: 'three' }, { headers: { 'If-Match': '*' } })).status).toBe(200)
    expect((await person.patch('/me', {}, {})).body.bio).toBe('three')
  })

  it('is changed for a repeat of what it did, and for nothing else', async () => {
    const person = await app.signUp()
    const headers = { 'If-Match': (await person.get('/me')).headers.get('etag')! }
    const once = await person.patch('/me', { bio: 'one', city: 'Paris' }, { headers })
    expect((await person.patch('/me', { bio: 'one', city: 'Paris' }, { headers })).body).toEqual(once.body)
    expect((await person.patch('/me', { bio: 'one', city: 'Rome' }, { headers })).status).toBe(412)
    expect((await person.get('/me')).body).toEqual(once.body)
  })

  it.each([
    [{ website: 'javascript:alert(1)' }, '/website'],
    [{ website: 'ada.example' }, '/website'],
    [{ website: `https://ada.example/${'a'.repeat(200)}` }, '/website'],
    [{ bio: 'x'.repeat(501) }, '/bio'],
    [{ displayName: 'x'.repeat(65) }, '/displayName'],
    [{ displayName: 'a\u0000b' }, '/displayName'],
    [{ birthDate: '1990-13-01' }, '/birthDate'],
    [{ birthDate: new Date().toISOString().slice(0, 10) }, '/birthDate'],
    [{ username: 'other' }, '/username'],
    [{ email: 'other@example.org' }, '/email'],
    [[], ''],
  ])('refuses %j', async (changes, path) => {
    const person = await app.signUp()
    const before = (await person.get('/me')).body
    const answer = await person.patch('/me', changes)
    expect([answer.status, answer.body.errors[0].path]).toEqual([422, path])
    expect((await person.get('/me')).body).toEqual(before)
  })
})

describe('one’s username', () => {
  const rename = (person: Person, username: string) => person.put('/me/username', { username })

  it('changes, and the old one is free again', async () => {
    const person = await app.signUp('before.it')
    const changed = await rename(person, 'After.It')
    expect([changed.status, changed.body.username]).toEqual([200, 'after.it'])
    expect((await app.get('/accounts/after.it', { after: person.token })).body.id).toBe(person.id)
    expect((await app.get('/accounts/before.it', { after: person.token })).status).toBe(404)
    expect((await app.post('/sessions', { login: 'after.it', password: person.password }, { after: person.token })).status).toBe(
      201,
    )
    expect((await app.signUp('before.it')).id).not.toBe(person.id)
    expect((await rename(person, 'before.it')).body.code).toBe('username_taken')
    expect((await rename(person, 'after.it')).status).toBe(200)
    expect((await rename(person, 'api')).status).toBe(422)
  })

  it('goes back and forth', async () => {
    const person = await app.signUp('to.and')
    for (const username of ['fro', 'to.and', 'fro', 'to.and'])
      expect((await rename(person, username)).body.username).toBe(username)
    await reacted()
    expect(
      (await app.post('/accounts', { username: 'to.and', email: 'x@example.org', password: 'another good password' })).status,
    ).toBe(409)
    await app.signUp('fro')
  })

  it('is one of many at once, and no other is kept', async () => {
    const person = await app.signUp()
    const names = ['race.one', 'race.two', 'race.three']
    const answers = await Promise.all(names.map(name => rename(person, name)))
    for (const { status } of answers) expect(status).toBe(200)
    await reacted()
    const { username } = (await person.get('/me')).body
    expect(names).toContain(username)
    for (const name of names.filter(other => other !== username)) await app.signUp(name)
  })
})

describe('one’s avatar', () => {
  it('is one’s own unused picture; what it replaces is removed', async () => {
    const person = await app.signUp()
    const [first, second] = [await person.upload(), await person.upload()]
    const shown = await person.put('/me/avatar', { mediaId: first.id })
    expect(shown.status).toBe(200)
    expect(shown.body.avatarUrl).toContain(first.id)
    const url = shown.body.avatarUrl
    expect((await app.get(url)).status).toBe(200)
    expect((await person.put('/me/avatar', { mediaId: first.id })).body.avatarUrl).toBe(url)
    const replaced = await person.put('/me/avatar', { mediaId: second.id })
    expect(replaced.body.avatarUrl).not.toBe(url)
    expect((await app.get(url)).status).toBe(404)
    expect((await person.put('/me/avatar', { mediaId: first.id })).body).toMatchObject({
      code: 'media_not_found',
      errors: [{ path: '/mediaId' }],
    })
    expect((await person.put('/me/avatar', { mediaId: null })).body.avatarUrl).toBeNull()
    await reacted()
    expect(await readdir(`${app.mediaDir}/media/${person.id}`)).toEqual([])
  })

  it('is refused where it is another’s, unknown or in a post', async () => {
    const [person, other] = [await app.signUp(), await app.signUp()]
    const theirs = await other.upload()
    const post = await person.publish()
    const put = async (mediaId: unknown) => {
      const { body } = await person.put('/me/avatar', { mediaId })
      expect(body.errors).toMatchObject([{ path: '/mediaId' }])
      return body.code
    }
    expect(await put(theirs.id)).toBe('media_not_found')
    expect(await put('ffffffff-ffff-4fff-bfff-ffffffffffff')).toBe('media_not_found')
    expect(await put(post.media[0].id)).toBe('media_in_use')
    expect(await put('nonsense')).toBe('validation_failed')
    expect((await person.get('/me')).body.avatarUrl).toBeNull()
  })
})

describe('an erasure', () => {
  it('leaves nothing of a person in the log, in a table or in the storage, and a receipt', async () => {
    const words = ['xylophonist', 'Zanzibarian', 'quixotically', 'marzipanesque', 'Ouagadougou']
    const person = await app.signUp('xylophonist', { displayName: 'Zanzibarian' })
    const other = await app.signUp()
    await other.follow(person)
    await person.patch('/me', { bio: 'quixotically', city: 'Ouagadougou' })
    await person.put('/me/avatar', { mediaId: (await person.upload()).id })
    await person.publish({ caption: 'marzipanesque #marzipanesque' })
    await person.upload()
    // Somebody claims the address, so that there is a mail; and there is a second session.
    await reacted()
    const claimant = await app.signUp('claims.it', { email: 'xylophonist@example.org' })
    const { session } = (await app.post('/sessions', { login: 'xylophonist', password: person.password })).body
    await reacted()
    expect((await app.get('/dev/outbox')).body.items.map(({ to }: { to: string }) => to)).toContain('xylophonist@example.org')
    await person.put('/me/username', { username: 'xylophonist.too' })

    const answer = await person.post('/me/erasure')
    expect(answer.status).toBe(202)
    const { erasure } = answer.body
    expect((await claimant.post('/me/erasure')).status).toBe(202)
    expect(Object.keys(erasure).sort()).toEqual(['completedAt', 'id', 'requestedAt', 'status'])

    // At once, for everybody.
    expect((await person.get('/me')).body.code).toBe('session_revoked')
    expect((await app.get('/me', { headers: { Authorization: `Bearer ${session.accessToken}` } })).body.code).toBe(
      'session_revoked',
    )
    expect((await app.post('/sessions/refresh', { refreshToken: session.refreshToken })).body.code).toBe('session_revoked')
    expect((await app.post('/sessions', { login: 'xylophonist.too', password: person.password })).body.code).toBe(
      'invalid_credentials',
    )
    expect((await other.get(`/accounts/${person.id}`)).status).toBe(404)
    expect((await other.get('/accounts/xylophonist.too')).status).toBe(404)
    expect((await other.get('/feed')).body.items).toEqual([])

    await reacted()
    const head = await app.app.store.head()
    const receipt = await app.get(`/erasures/${erasure.id}`, {
      after: app.app.commands.reading === undefined ? null : answer.token,
    })
    await app.app.commands.settled(head, [accountsModel])
    expect((await app.get(`/erasures/${erasure.id}`)).body).toMatchObject({ id: erasure.id, status: 'completed' })
    expect(receipt.status).toBe(200)
    expect((await app.get('/erasures/ffffffff-ffff-4fff-bfff-ffffffffffff')).status).toBe(404)

    // Wait for every model, then look everywhere.
    const consumers = await app.app.db.run<{ key: string }>(sql`select key from kernel.consumers`)
    await app.app.commands.settled(head, consumers as never)
    const tables = await app.app.db.run<{ name: string }>(sql`
      select quote_ident(table_schema) || '.' || quote_ident(table_name) as name from information_schema.tables
      where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')`)
    expect(tables.length).toBeGreaterThan(20)
    for (const { name } of tables) {
      const found = await app.app.db.run<{ row: string }>(
        sql`select t::text as row from ${sql.raw(name)} t where t::text ~* ${words.join('|')} or t::text like ${`%${person.session.refreshToken.split('.')[2]}%`}`,
      )
      expect(found, name).toEqual([])
    }
    for await (const { events, caughtUp } of app.app.store.subscribe({ after: 0, signal: new AbortController().signal })) {
      for (const event of events) expect(JSON.stringify(event)).not.toMatch(new RegExp(words.join('|'), 'i'))
      if (caughtUp) break
    }
    const left = await readdir(`${app.mediaDir}/media/${person.id}`, { recursive: true }).catch(
      (error: NodeJS.ErrnoException) => error.code,
    )
    expect(left === 'ENOENT' || left!.length === 0, String(left)).toBe(true)

    // The names are free again, and the key comes back for nobody.
    const again = await app.signUp('xylophonist.too')
    expect(again.id).not.toBe(person.id)
    await expect(app.app.commands.keys.create(person.id)).rejects.toThrow()
  })

  it('is asked once, however often it is asked at once', async () => {
    const person = await app.signUp()
    const answers = await Promise.all([1, 2, 3].map(() => person.post('/me/erasure')))
    const ids = new Set(answers.filter(({ status }) => status === 202).map(({ body }) => body.erasure.id))
    expect(ids.size).toBe(1)
    for (const { status } of answers) expect([202, 401]).toContain(status)
  })

  it('destroys a key again that a restored backup brought back', async () => {
    const person = await app.signUp('restored')
    const [backup] = await app.app.db.run<{ wrapped: Buffer }>(sql`select wrapped from keys.keys where subject = ${person.id}`)
    await person.post('/me/erasure')
    await reacted()
    await app.app.db.run(sql`update keys.keys set wrapped = ${backup!.wrapped}, destroyed_at = null where subject = ${person.id}`)
    const next = await testApp({ databaseUrl: app.databaseUrl, mediaDir: app.mediaDir, secret: app.secret, clock: app.clock })
    try {
      const [key] = await app.app.db.run<{ wrapped: Buffer | null }>(
        sql`select wrapped from keys.keys where subject = ${person.id}`,
      )
      expect(key!.wrapped).toBeNull()
    } finally {
      await next.stop()
    }
  })

  it('ends an upload that is under way without a trace', async () => {
    const person = await app.signUp()
    const bytes = await picture()
    const [upload, erasure] = await Promise.all([
      person.send('POST', '/media', { body: bytes, headers: { 'Content-Type': 'image/jpeg' } }),
      person.post('/me/erasure'),
    ])
    expect(erasure.status).toBe(202)
    expect([201, 401, 404]).toContain(upload.status)
    await reacted()
    const left = await readdir(`${app.mediaDir}/media/${person.id}`, { recursive: true }).catch(
      (error: NodeJS.ErrnoException) => error.code,
    )
    expect(left === 'ENOENT' || left!.length === 0, String(left)).toBe(true)
  })
})

describe('the outbox', () => {
  it('is for this machine alone', async () => {
    expect((await app.get('/dev/outbox')).status).toBe(200)
    const rebound = await app.get('http://darkroom.example/dev/outbox', { headers: { Host: 'darkroom.example' } })
    expect(rebound.status).toBe(404)
    const forwarded = await app.get('/dev/outbox', { headers: { Host: '192.0.2.7' } })
    expect(forwarded.status).toBe(404)
  })

  it('is not there in production', async () => {
    const production = await testApp({ config: { production: true } })
    try {
      expect((await production.get('/dev/outbox')).status).toBe(404)
    } finally {
      await production.stop()
    }
  })
})
