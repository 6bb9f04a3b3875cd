import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Person, type TestApp, testApp } from '../support/app.ts'

let app: TestApp
beforeAll(async () => {
  app = await testApp()
})
afterAll(() => app.stop())

const minute = 60_000
const signInAgain = async (person: Person) =>
  (await app.post('/sessions', { login: person.username, password: person.password })).body.session
const refresh = (refreshToken: string) => app.post('/sessions/refresh', { refreshToken })
const meBy = (accessToken: string, scheme = 'Bearer') =>
  app.get('/me', { headers: { Authorization: `${scheme} ${accessToken}` } })

describe('an access token', () => {
  it('serves for 15 minutes', async () => {
    const person = await app.signUp()
    expect((await meBy(person.session.accessToken)).status).toBe(200)
    expect((await meBy(person.session.accessToken, 'bearer')).status).toBe(200)
    app.clock.advance(15 * minute)
    const late = await meBy(person.session.accessToken)
    expect([late.status, late.body.code]).toEqual([401, 'access_token_expired'])
    expect(late.headers.get('www-authenticate')).toContain('invalid_token')
  })

  it('is wanted, and in its form', async () => {
    const missing = await app.get('/me')
    expect([missing.status, missing.body.code]).toEqual([401, 'authentication_required'])
    expect(missing.headers.get('www-authenticate')).toContain('Bearer')
    for (const [token, scheme] of [
      ['nonsense', 'Bearer'],
      ['a b', 'Bearer'],
      ['x'.repeat(5000), 'Bearer'],
      ['dXNlcjpwYXNz', 'Basic'],
    ] as const) {
      expect((await meBy(token, scheme)).body.code, `${scheme} ${token.slice(0, 10)}`).toBe('access_token_invalid')
    }
  })
})

describe('a refresh token', () => {
  it('serves once, and for a minute answers the same successor again', async () => {
    const { session } = await app.signUp()
    const first = await refresh(session.refreshToken)
    expect(first.status).toBe(201)
    expect(first.headers.get('cache-control')).toBe('no-store')
    expect(first.body.session.id).toBe(session.id)
    expect(first.body.session.refreshToken).not.toBe(session.refreshToken)
    app.clock.advance(59_000)
    const lost = await refresh(session.refreshToken)
    expect(lost.body.session.refreshToken).toBe(first.body.session.refreshToken)
    expect((await meBy(lost.body.session.accessToken)).status).toBe(200)
    expect((await refresh(lost.body.session.refreshToken)).status).toBe(201)
  })

  it('answers the same successor to many at once', async () => {
    const { session } = await app.signUp()
    const answers = await Promise.all([1, 2, 3, 4].map(() => refresh(session.refreshToken)))
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201])
    expect(new Set(answers.map(({ body }) => body.session.refreshToken)).size).toBe(1)
  })

  it.each([
    ['after its minute', async () => app.clock.advance(61_000)],
    ['once its successor was used', async (next: string) => expect((await refresh(next)).status).toBe(201)],
  ])('that comes again %s ends the session', async (_, meanwhile) => {
    const { session } = await app.signUp()
    const { body } = await refresh(session.refreshToken)
    await meanwhile(body.session.refreshToken)
    const again = await refresh(session.refreshToken)
    expect([again.status, again.body.code]).toEqual([401, 'refresh_token_reused'])
    expect((await meBy(body.session.accessToken)).body.code).toBe('session_revoked')
    expect((await refresh(body.session.refreshToken)).body.code).toBe('refresh_token_reused')
  })

  it('of another’s making is refused, and ends nothing', async () => {
    const { session } = await app.signUp()
    const [sid, , signature] = session.refreshToken.split('.')
    for (const forged of ['', 'nonsense', `${sid}.1.${signature}`, `${sid}.0.${'A'.repeat(32)}`, `${session.refreshToken}x`]) {
      const answer = await refresh(forged)
      expect([answer.status, answer.body.code], forged).toEqual([401, 'refresh_token_invalid'])
    }
    expect((await refresh(session.refreshToken)).status).toBe(201)
  })

  it('slides the session’s 60 days, and serves none longer', async () => {
    const days = 24 * 3_600_000
    const { session } = await app.signUp()
    app.clock.advance(59 * days)
    const { body } = await refresh(session.refreshToken)
    app.clock.advance(59 * days)
    const later = await refresh(body.session.refreshToken)
    expect(later.status).toBe(201)
    app.clock.advance(60 * days)
    expect((await refresh(later.body.session.refreshToken)).body.code).toBe('session_revoked')
  })
})

describe('sessions', () => {
  it('are listed newest first, a page at a time, to their account alone', async () => {
    const person = await app.signUp()
    const second = await signInAgain(person)
    const third = await signInAgain(person)
    const first = await person.get('/sessions?limit=2')
    expect(first.body.items.map(({ id }: { id: string }) => id)).toEqual([third.id, second.id])
    expect(first.body.items[0]).toMatchObject({ current: false, device: { address: '127.0.0.1', userAgent: null } })
    const rest = await person.get(`/sessions?limit=2&cursor=${first.body.nextCursor}`)
    expect(rest.body).toMatchObject({ items: [{ id: person.session.id, current: true }], nextCursor: null })
    const other = await app.signUp()
    expect((await other.get(`/sessions?cursor=${first.body.nextCursor}`)).body.code).toBe('cursor_invalid')
    expect((await person.get('/sessions?limit=101')).status).toBe(422)
  })

  it('end at once, on every node', async () => {
    const elsewhere = await testApp({
      databaseUrl: app.databaseUrl,
      mediaDir: app.mediaDir,
      secret: app.secret,
      clock: app.clock,
    })
    try {
      const person = await app.signUp()
      const other = await signInAgain(person)
      const there = () => elsewhere.get('/me', { headers: { Authorization: `Bearer ${other.accessToken}` } })
      expect((await there()).status).toBe(200)
      expect((await person.delete(`/sessions/${other.id}`)).status).toBe(204)
      expect((await there()).body.code).toBe('session_revoked')
      expect((await refresh(other.refreshToken)).body.code).toBe('session_revoked')
      expect((await person.delete(`/sessions/${other.id}`)).status).toBe(204)
      expect((await person.get('/me')).status).toBe(200)
    } finally {
      await elsewhere.stop()
    }
  })

  it('of others are not there', async () => {
    const [person, other] = [await app.signUp(), await app.signUp()]
    for (const id of [other.session.id, 'ffffffff-ffff-4fff-bfff-ffffffffffff', 'nonsense']) {
      expect((await person.delete(`/sessions/${id}`)).status, id).toBe(404)
    }
    expect((await other.get('/me')).status).toBe(200)
  })

  it('all end but this one', async () => {
    const person = await app.signUp()
    const others = [await signInAgain(person), await signInAgain(person)]
    expect((await person.delete('/sessions')).status).toBe(204)
    for (const { accessToken } of others) expect((await meBy(accessToken)).body.code).toBe('session_revoked')
    expect((await person.get('/sessions')).body.items).toHaveLength(1)
    expect((await person.delete('/sessions')).status).toBe(204)
  })

  it('end with this one too', async () => {
    const person = await app.signUp()
    expect((await person.delete(`/sessions/${person.session.id}`)).status).toBe(204)
    expect((await person.get('/me')).body.code).toBe('session_revoked')
  })
})

describe('what cannot be taken back', () => {
  it('needs a sign-in or the password of the last 10 minutes', async () => {
    const person = await app.signUp()
    app.clock.advance(11 * minute)
    const refused = await person.post('/me/erasure')
    expect([refused.status, refused.body.code]).toEqual([403, 'reauthentication_required'])
    const wrong = await person.post('/sessions/current/confirmation', { password: 'not the password' })
    expect([wrong.status, wrong.body.code]).toEqual([401, 'invalid_credentials'])
    expect((await person.post('/me/erasure')).status).toBe(403)
    expect((await person.post('/sessions/current/confirmation', { password: person.password })).status).toBe(204)
    expect((await person.post('/me/erasure')).status).toBe(202)
  })
})

describe('a consistency token', () => {
  it('lets nobody in: it is looked at before the session, and does not stand for one', async () => {
    const person = await app.signUp()
    const { token } = await person.put('/me/account-type', { type: 'private' })
    const stranger = (token: string) => app.send('GET', '/me', { headers: { 'Consistency-Token': token } })
    expect(await stranger(token!)).toMatchObject({ status: 401, body: { code: 'authentication_required' } })
    expect(await stranger('made.up.token')).toMatchObject({ status: 400, body: { code: 'consistency_token_invalid' } })
  })

  it('of nobody’s making is refused at once', async () => {
    const person = await app.signUp()
    const answer = await person.get('/me', { headers: { 'Consistency-Token': 'made.up.token' } })
    expect([answer.status, answer.body.code]).toEqual([400, 'consistency_token_invalid'])
    const many = await person.get('/me', {
      headers: { 'Consistency-Token': Array.from({ length: 9 }, (_, n) => `t${n}`).join(',') },
    })
    expect(many.status).toBe(422)
  })
})
