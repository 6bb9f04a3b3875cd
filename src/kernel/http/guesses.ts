import type pg from 'pg'
import { RateLimiterPostgres } from 'rate-limiter-flexible'
import { Problem } from '../problem.ts'
import { mac } from '../secrets.ts'
import { network } from './client-address.ts'
import { limitOf } from './rate-limit.ts'

/**
 * How many wrong guesses within 15 minutes: at one login (or code) from one network, at one login from anywhere, from one network at anything.
 * The first is small; the others are wide, so that nobody can lock a stranger out for long.
 * What right ones cost is bounded by the policies of requests (`sign-in`, `sign-up`).
 */
const most = { pair: 10, subject: 100, network: 200 } as const
const seconds = 15 * 60

export interface GuessLimiter {
  /**
   * Counts a guess before it is looked at, on all nodes together.
   * @param subject what is guessed at (a login, the id of a code); only its HMAC is stored
   * @throws Problem 429 `rate_limited` with Retry-After
   */
  count(kind: 'password' | 'code', subject: string, clientAddress: string): Promise<void>
  /** The guess was right, and does not count: its subject starts anew from this network. */
  succeeded(kind: 'password' | 'code', subject: string, clientAddress: string): Promise<void>
}

/**
 * Limits guesses in `kernel.guesses`.
 * @param options.on false (RATE_LIMIT=off) leaves passwords uncounted; codes are counted always
 */
export function guessLimiter(pool: pg.Pool, { key, on }: { key: Buffer; on: boolean }): GuessLimiter {
  const limiter = (keyPrefix: keyof typeof most, sweeps: boolean) =>
    new RateLimiterPostgres({
      storeClient: pool,
      storeType: 'pool',
      schemaName: 'kernel',
      tableName: 'guesses',
      tableCreated: true,
      keyPrefix,
      points: most[keyPrefix],
      duration: seconds,
      clearExpiredByTimeout: sweeps,
    })
  const limiters = { pair: limiter('pair', true), subject: limiter('subject', false), network: limiter('network', false) }
  const keysOf = (kind: string, subject: string, address: string) => {
    const from = network(address)
    const hash = (text: string) => mac(key, text, 18).toString('base64url')
    return {
      pair: hash(JSON.stringify([kind, subject, from])),
      subject: hash(JSON.stringify([kind, subject])),
      network: hash(from),
    }
  }
  const counts = (kind: string) => on || kind === 'code'
  return {
    async count(kind, subject, clientAddress) {
      if (!counts(kind)) return
      const keys = keysOf(kind, subject, clientAddress)
      const results = await Promise.all(
        (['pair', 'subject', 'network'] as const).map(async name => {
          const result = await limiters[name].consume(keys[name]).catch(limitOf)
          return result.consumedPoints > most[name] ? result.msBeforeNext : 0
        }),
      )
      const wait = Math.ceil(Math.max(...results) / 1000)
      if (wait > 0) {
        throw new Problem('rate_limited', `Too many tries: wait ${wait} s.`, { headers: { 'Retry-After': String(wait) } })
      }
    },
    async succeeded(kind, subject, clientAddress) {
      if (!counts(kind)) return
      const keys = keysOf(kind, subject, clientAddress)
      await Promise.all([
        limiters.pair.delete(keys.pair),
        limiters.subject.reward(keys.subject),
        limiters.network.reward(keys.network),
      ])
    },
  }
}
