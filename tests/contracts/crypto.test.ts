import { randomUUID } from 'node:crypto'
import * as argon2 from '@node-rs/argon2'
import * as bcrypt from '@node-rs/bcrypt'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { accessTokens } from '../../src/adapters/crypto/access-tokens.ts'
import { passwords } from '../../src/adapters/crypto/passwords.ts'
import { Problem } from '../../src/kernel/problem.ts'
import { Secrets } from '../../src/kernel/secrets.ts'

describe('passwords', () => {
  const hashing = passwords()
  afterAll(() => hashing.close())

  it('are hashed by argon2id with the least that OWASP asks for', async () => {
    const hash = await hashing.hash('a long password')
    expect(hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
    expect(await hashing.verify(hash, 'a long password')).toEqual({ right: true, upgrade: false })
    expect(await hashing.verify(hash, 'another password')).toEqual({ right: false, upgrade: false })
  })

  it.each(['2a', '2b', '2y'] as const)('are taken from bcrypt ($%s$) and hashed anew', async version => {
    // The three differ in their name alone.
    const hash = (await bcrypt.hash('a long password', 4)).replace(/^\$2.\$/, `$$${version}$$`)
    expect(hash.startsWith(`$${version}$`)).toBe(true)
    expect(await hashing.verify(hash, 'a long password')).toEqual({ right: true, upgrade: true })
    expect(await hashing.verify(hash, 'another password')).toEqual({ right: false, upgrade: false })
  })

  it('are hashed anew where the hash is weaker than now', async () => {
    const hash = await argon2.hash('a long password', { memoryCost: 8_192, timeCost: 2, parallelism: 1 })
    expect(await hashing.verify(hash, 'a long password')).toEqual({ right: true, upgrade: true })
  })

  it('are never right where there is no hash', async () =>
    expect(await hashing.verify(null, 'a long password')).toEqual({ right: false, upgrade: false }))

  it('are refused where too many wait, and go on after', async () => {
    const narrow = passwords({ atOnce: 1, queue: 1 })
    const results = await Promise.allSettled([1, 2, 3, 4].map(n => narrow.hash(`password ${n}`)))
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected'])
    const [, , refused] = results
    expect(refused?.status === 'rejected' && (refused.reason as Problem).code).toBe('unavailable')
    await narrow.hash('one more')
    await narrow.close()
  })

  it('that wait where hashing ends are refused, and go on with another thread where one died', async () => {
    const ending = passwords({ atOnce: 1 })
    const waiting = ending.hash('a password')
    const refused = expect(waiting).rejects.toMatchObject({ code: 'unavailable' })
    await ending.close()
    await refused
    // Once where it was at work, once where it was idle.
    for (const password of ['another', 'one more']) {
      expect(await ending.hash(password)).toMatch(/^\$argon2id/)
      await ending.close()
    }
  })

  describe('beside a thread that answers requests', () => {
    /** What happened, in its order: which hash was begun, and after which it was looked how busy that thread is. */
    const answering = (share: number) => {
      const happened: string[] = []
      let begun = 0
      const utilisation = () => {
        const n = ++begun
        happened.push(`begun ${n}`)
        return () => {
          happened.push(`looked ${n}`)
          return share
        }
      }
      return { happened, hashing: passwords({ atOnce: 1, utilisation }) }
    }

    it('that has room are hashed one behind the other', async () => {
      const { happened, hashing } = answering(0.7)
      for (const password of ['one', 'another']) await hashing.hash(password)
      await vi.waitFor(() => expect(happened).toEqual(['begun 1', 'looked 1', 'begun 2', 'looked 2']))
      await hashing.close()
    })

    it('that is full are hashed after a rest, and not kept waiting for ever', async () => {
      const { happened, hashing } = answering(1)
      for (const password of ['one', 'another']) expect(await hashing.hash(password)).toMatch(/^\$argon2id/)
      const second = happened.indexOf('begun 2')
      expect(new Set(happened.slice(0, second))).toEqual(new Set(['begun 1', 'looked 1']))
      expect(happened.slice(second)).not.toContain('looked 1')
      await hashing.close()
    })

    it('that is full are refused where hashing ends before they are begun', async () => {
      const { happened, hashing } = answering(1)
      await hashing.hash('a password')
      const refused = expect(hashing.hash('another')).rejects.toMatchObject({ code: 'unavailable' })
      await hashing.close()
      await refused
      expect(happened).not.toContain('begun 2')
    })
  })

  it('that cannot be verified say so without naming password or hash', async () => {
    const broken = hashing.verify('$argon2id$broken', 'a long password')
    await expect(broken).rejects.toThrow(/^Hashing failed: (?!.*(broken|a long))/)
    expect(await hashing.hash('still works')).toMatch(/^\$argon2id/)
  })
})

describe('access tokens', () => {
  const claims = { accountId: randomUUID(), sessionId: randomUUID() }
  const start = Date.UTC(2026, 0, 1)
  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'accepted',
      error => (error instanceof Problem ? error.code : String(error)),
    )
  const minute = 60_000

  it('say who they were issued to for 15 minutes', async () => {
    let now = start
    const tokens = accessTokens(new Secrets('a secret of more than 32 characters'), { now: () => now })
    const { token, expiresAt } = await tokens.issue(claims)
    expect(expiresAt).toBe('2026-01-01T00:15:00.000Z')
    expect(await tokens.verify(token)).toEqual(claims)
    now += 15 * minute - 1
    expect(await tokens.verify(token)).toEqual(claims)
    now += 1
    expect(await codeOf(tokens.verify(token))).toBe('access_token_expired')
    const elsewhere = accessTokens(new Secrets('a secret of more than 32 characters'), { now: () => now })
    expect(await codeOf(elsewhere.verify(token))).toBe('access_token_expired')
  })

  it('are accepted under the secret before this one, and under no other', async () => {
    const clock = { now: () => start }
    const { token } = await accessTokens(new Secrets('the secret before'), clock).issue(claims)
    expect(await accessTokens(new Secrets('the secret of now', 'the secret before'), clock).verify(token)).toEqual(claims)
    expect(await codeOf(accessTokens(new Secrets('the secret of now'), clock).verify(token))).toBe('access_token_invalid')
  })

  it('are refused in any other form', async () => {
    const tokens = accessTokens(new Secrets('the secret of now'), { now: () => start })
    const { token } = await tokens.issue(claims)
    const [head, payload, signature] = token.split('.') as [string, string, string]
    const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url')
    const other = Buffer.from(JSON.stringify({ sub: randomUUID(), sid: claims.sessionId, exp: 9_999_999_999 })).toString(
      'base64url',
    )
    for (const bad of [
      '',
      'x',
      'a.b.c',
      `${none}.${payload}.`,
      `${none}.${payload}.${signature}`,
      `${head}.${other}.${signature}`,
      `${token}A`,
    ]) {
      expect(await codeOf(tokens.verify(bad)), bad).toBe('access_token_invalid')
    }
  })
})
