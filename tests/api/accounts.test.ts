import * as bcrypt from '@node-rs/bcrypt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { account, accountStream, SignedUp } from '../../src/domain/accounts/account.ts'
import { handleStream, name } from '../../src/domain/accounts/name.ts'
import { type AccountId, newId } from '../../src/kernel/ids.ts'
import { sql } from '../../src/kernel/sql.ts'
import { accountsModel } from '../../src/projections/accounts/project.ts'
import { emailKeyOf, handleOf } from '../../src/reading/credentials.ts'
import { type TestApp, testApp } from '../support/app.ts'
import { allSettled } from '../support/settled.ts'

let app: TestApp
beforeAll(async () => {
  app = await testApp()
})
afterAll(() => app.stop())

const password = 'a long and winding password'
const someone = (username: string, fields: object = {}) => ({ username, email: `${username}@example.org`, password, ...fields })
const actor = { id: null, sessionId: null, correlationId: 'test' }
const day = 24 * 3_600_000
const reservedAt = (ago = 0): string => new Date(app.clock.now() - ago).toISOString()

const outboxOf = async (to: string): Promise<{ subject: string; text: string }[]> => {
  await allSettled(app)
  return (await app.get('/dev/outbox')).body.items.filter((item: { to: string }) => item.to === to)
}

describe('signing up', () => {
  it('answers the account and a session that works at once', async () => {
    const answer = await app.post('/accounts', someone('Grace.Hopper', { displayName: 'Grace', birthDate: '1906-12-09' }))
    expect(answer.status).toBe(201)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.body.account).toMatchObject({
      username: 'grace.hopper',
      displayName: 'Grace',
      email: 'Grace.Hopper@example.org',
      emailVerified: false,
      birthDate: '1906-12-09',
      type: 'personal',
      isPrivate: false,
      counts: { posts: 0, followers: 0, following: 0 },
    })
    const { accessToken } = answer.body.session
    const me = await app.get('/me', { headers: { Authorization: `Bearer ${accessToken}` } })
    expect(me.status).toBe(200)
    expect(me.body).toEqual(answer.body.account)
    expect(me.headers.get('etag')).toMatch(/^"0\.[\w-]+"$/)
  })

  it('is a repeat with the same name and password, whatever the email', async () => {
    const first = await app.post('/accounts', someone('repeated'))
    const second = await app.post('/accounts', someone('Repeated', { email: 'other@example.org' }))
    expect(second.status).toBe(201)
    expect(second.body.account).toEqual(first.body.account)
    expect(second.body.session.id).not.toBe(first.body.session.id)
  })

  it('is refused where the name is another’s', async () => {
    await app.signUp('taken')
    const answer = await app.post('/accounts', someone('taken', { password: 'another good password' }))
    expect([answer.status, answer.body.code]).toEqual([409, 'username_taken'])
  })

  it('gives one name to one of many at once', async () => {
    const answers = await Promise.all(
      [1, 2, 3, 4, 5].map(n =>
        app.post('/accounts', someone('contested', { email: `c${n}@example.org`, password: `password of number ${n}` })),
      ),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409])
  })

  it.each([
    ['a name with a dot first', { username: '.ada' }, '/username'],
    ['a name with a dot last', { username: 'ada.' }, '/username'],
    ['a name of other letters', { username: 'ádá' }, '/username'],
    ['a name that is too long', { username: 'a'.repeat(31) }, '/username'],
    ['no name', { username: '' }, '/username'],
    ['a reserved name', { username: 'Admin' }, '/username'],
    ['a short password', { password: '1234567' }, '/password'],
    ['a common password', { password: 'Password123' }, '/password'],
    ['a password that is the name', { username: 'somebody.new', password: 'Somebody.New' }, '/password'],
    ['a password that is too long', { password: 'x'.repeat(257) }, '/password'],
    ['no email', { email: 'nowhere' }, '/email'],
    ['an email that is too long', { email: `${'a'.repeat(250)}@example.org` }, '/email'],
    ['a phone, which is not built', { phone: '+4930123456' }, '/phone'],
    ['a birth date that never was', { birthDate: '2001-02-30' }, '/birthDate'],
    ['somebody too young', { birthDate: `${new Date().getUTCFullYear() - 12}-01-01` }, '/birthDate'],
    ['somebody too old', { birthDate: '1790-01-01' }, '/birthDate'],
    ['a name of two lines', { displayName: 'Ada\nByron' }, '/displayName'],
    ['a name that is a number', { displayName: 7 }, '/displayName'],
  ])('refuses %s', async (_, fields, path) => {
    const answer = await app.post('/accounts', { ...someone('nobody.yet'), ...fields })
    expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed'])
    expect(answer.body.errors[0].path).toBe(path)
    expect(JSON.stringify(answer.body)).not.toContain(password)
  })

  it('takes characters, not code units, as the length of a password', async () => {
    expect((await app.post('/accounts', someone('short', { password: '🦊🐻🐼🦁' }))).status).toBe(422)
    expect((await app.post('/accounts', someone('long', { password: '🦊🐻🐼🦁🐯🐨🐸🐵' }))).status).toBe(201)
  })

  it('says whether a name can be had', async () => {
    const { token } = await app.signUp('unavailable')
    const available = async (username: string) =>
      (await app.get(`/usernames/${encodeURIComponent(username)}`, { after: token })).body.available
    expect(await available('Unavailable')).toBe(false)
    expect(await available('admin')).toBe(false)
    expect(await available('not a name')).toBe(false)
    expect(await available('nobody.has.this')).toBe(true)
  })
})

describe('an email address', () => {
  it('that is another’s answers as a free one does, signs in as one does, and its holder is mailed once', async () => {
    const holder = await app.signUp('holder')
    await allSettled(app)
    const email = 'HOLDER@example.org'
    const taken = await app.post('/accounts', { username: 'second', email, password: 'the password of the second' })
    const free = await app.post('/accounts', {
      username: 'third',
      email: 'third@example.org',
      password: 'the password of the third',
    })
    expect(taken.status).toBe(free.status)
    expect(Object.keys(taken.body.account)).toEqual(Object.keys(free.body.account))
    expect(taken.body.account).toMatchObject({ email, emailVerified: false })
    const signedIn = await app.post('/sessions', { login: email, password: 'the password of the second' })
    expect(signedIn.body.account.id).toBe(taken.body.account.id)
    expect((await app.post('/sessions', { login: email, password: holder.password })).body.account.id).toBe(holder.id)

    await app.post('/accounts', { username: 'fourth', email, password: 'the password of the fourth' })
    const mails = await outboxOf('holder@example.org')
    expect(mails.map(({ subject }) => subject)).toEqual(['Somebody signed up with your address'])
    expect(mails[0]!.text).toContain('holder')
    expect(await outboxOf(email)).toEqual([])
  })
})

describe('a reservation that a crash left behind', () => {
  const reserve = async (username: string, ago: number) => {
    const tenure = { accountId: newId<'account'>(), reservationId: newId<'reservation'>() }
    const handle = handleOf(app.app.commands.reading, username)
    await app.app.commands.execute(
      name,
      handleStream(handle),
      { type: 'Reserve', ...tenure, at: reservedAt(ago), until: null },
      actor,
    )
    return { ...tenure, handle }
  }
  const signUpOf = (username: string, reserved: { accountId: AccountId; reservationId: string; handle: string }) => {
    const email = `${username}@example.org`
    const emailKey = emailKeyOf(app.app.commands.reading, email)
    return { ...reserved, username, email, emailKey, emailClaimedUntil: null, passwordHash: null, profile: {} }
  }

  it('is not taken while it may still come to be', async () => {
    await reserve('just.now', 0)
    const answer = await app.post('/accounts', someone('just.now'))
    expect([answer.status, answer.body.code]).toEqual([503, 'unavailable'])
    expect(answer.headers.get('retry-after')).toBe('5')
  })

  it('is taken over, and its sign-up can never come to be', async () => {
    const left = await reserve('left.behind', 60_000)
    const answer = await app.post('/accounts', someone('left.behind'))
    expect(answer.status).toBe(201)
    const { execute, keys } = app.app.commands
    await keys.create(left.accountId)
    const late = execute(account, accountStream(left.accountId), { type: 'SignUp', ...signUpOf('left.behind', left) }, actor)
    await expect(late).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('is confirmed for the holder whose sign-up came to be after all', async () => {
    const { execute, keys, passwords } = app.app.commands
    const slow = await reserve('slow.one', 60_000)
    await keys.create(slow.accountId)
    const passwordHash = await passwords.hash('the password of the slow one')
    await execute(account, accountStream(slow.accountId), { type: 'SignUp', ...signUpOf('slow.one', slow), passwordHash }, actor)
    expect((await app.post('/accounts', someone('slow.one'))).body.code).toBe('username_taken')
    const again = await app.post('/accounts', someone('slow.one', { password: 'the password of the slow one' }))
    expect(again.body.account).toMatchObject({ id: slow.accountId, username: 'slow.one' })
  })

  it('of a change is taken over as well, and the change can never come to be', async () => {
    const person = await app.signUp('changing')
    const handle = handleOf(app.app.commands.reading, 'changed')
    const tenure = { accountId: person.id, reservationId: newId<'reservation'>() }
    const { execute } = app.app.commands
    await execute(name, handleStream(handle), { type: 'Reserve', ...tenure, at: reservedAt(60_000), until: null }, actor)
    expect((await app.post('/accounts', someone('changed'))).status).toBe(201)
    const late = execute(
      account,
      accountStream(person.id),
      { type: 'ChangeUsername', username: 'changed', handle, ...tenure },
      actor,
    )
    await expect(late).rejects.toMatchObject({ code: 'username_taken' })
    expect((await person.get('/me')).body.username).toBe('changing')
  })
})

describe('signing in', () => {
  it('takes a username or an email in any case', async () => {
    const person = await app.signUp('insider')
    for (const login of ['insider', 'INSIDER', 'insider@example.org', 'Insider@Example.ORG']) {
      const answer = await app.post('/sessions', { login, password: person.password }, { after: person.token })
      expect(answer.status, login).toBe(201)
      expect(answer.body.account.id).toBe(person.id)
    }
  })

  it('says the same of a wrong password and of nobody', async () => {
    await app.signUp('guessed')
    const wrong = await app.post('/sessions', { login: 'guessed', password: 'not the password' })
    const nobody = await app.post('/sessions', { login: 'nobody.at.all', password: 'not the password' })
    const nowhere = await app.post('/sessions', { login: 'nobody@nowhere.example', password: 'not the password' })
    expect([wrong.status, wrong.body.code]).toEqual([401, 'invalid_credentials'])
    expect(nobody.body).toEqual(wrong.body)
    expect(nowhere.body).toEqual(wrong.body)
  })

  it('takes a hash that bcrypt made, once', async () => {
    const { execute, keys, settled, reading } = app.app.commands
    const accountId = newId<'account'>()
    await keys.create(accountId)
    const passwordHash = (await bcrypt.hash(password, 4)).replace(/^\$2.\$/, '$$2y$$')
    const handle = handleOf(reading, 'imported')
    const tenure = { accountId, reservationId: newId<'reservation'>() }
    await execute(name, handleStream(handle), { type: 'Reserve', ...tenure, at: reservedAt(), until: null }, actor)
    const { type, data } = SignedUp({
      ...tenure,
      handle,
      username: 'imported',
      email: null,
      emailKey: null,
      emailClaimedUntil: null,
      passwordHash,
      profile: {},
    })
    const { position } = await execute(account, accountStream(accountId), { type: 'SignUp', ...data }, actor)
    expect(type).toBe('SignedUp')
    await settled(position, [accountsModel])
    for (const time of ['first', 'second']) {
      expect((await app.post('/sessions', { login: 'imported', password })).status, time).toBe(201)
    }
    const [row] = await app.app.db.run<{ hash: string }>(
      sql`select password_hash as hash from ${accountsModel.t.credentials} where account_id = ${accountId}`,
    )
    expect(row!.hash).toMatch(/^\$argon2id\$/)
  })

  it('is by the address for a week only while it is not verified', async () => {
    const other = await testApp()
    try {
      const person = await other.signUp('lapsing')
      other.clock.advance(7 * day + 1)
      const byEmail = await other.post('/sessions', { login: 'lapsing@example.org', password: person.password })
      expect(byEmail.body.code).toBe('invalid_credentials')
      const byName = await other.post('/sessions', { login: 'lapsing', password: person.password })
      expect(byName.body.account.email).toBeNull()
      // It has lapsed: whoever claims it now takes nothing from anybody.
      const next = await other.signUp('next', { email: 'lapsing@example.org' })
      expect((await other.post('/sessions', { login: 'lapsing@example.org', password: next.password })).body.account.id).toBe(
        next.id,
      )
      await allSettled(other)
      expect((await other.get('/dev/outbox')).body.items).toEqual([])
    } finally {
      await other.stop()
    }
  })
})

describe('guesses', () => {
  it('are counted, at a login and at sign-ups for a taken name', async () => {
    const strict = await testApp({ config: { rateLimit: true } })
    try {
      await strict.signUp('victim')
      const statuses = new Set<number>()
      for (let n = 0; n < 6; n++) {
        statuses.add((await strict.post('/sessions', { login: 'victim', password: `guess number ${n}` })).status)
        statuses.add((await strict.post('/accounts', someone('victim', { password: `guess number ${n}` }))).status)
      }
      expect(statuses).toEqual(new Set([401, 409, 429]))
      const refused = await strict.post('/sessions', { login: 'VICTIM', password })
      expect([refused.status, refused.body.code]).toEqual([429, 'rate_limited'])
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    } finally {
      await strict.stop()
    }
  })
})
