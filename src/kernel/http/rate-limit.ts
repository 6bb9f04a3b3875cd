import type { IncomingMessage } from 'node:http'
import type { Context, MiddlewareHandler } from 'hono'
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible'
import { Problem } from '../problem.ts'
import type { Head } from './answer.ts'
import { clientAddresses, network } from './client-address.ts'
import type { HttpEnv } from './env.ts'

/**
 * How much one subject may do: points, in seconds. `address` counts every request of a client's network before anybody is known, wide
 * enough for a school behind one address; all others count by account or, signed out, by network. Counted a node, in memory.
 */
export const policies = {
  address: [6000, 60],
  read: [900, 60],
  write: [180, 60],
  upload: [300, 3600],
  follow: [200, 3600],
  comment: [300, 3600],
  'sign-up': [30, 3600],
  'sign-in': [120, 3600],
  live: [60, 60],
} as const satisfies Record<string, readonly [points: number, seconds: number]>

export type Policy = keyof typeof policies

/** One request's dealings with the limits. */
export interface RequestLimits {
  /** From here on counts by account instead of by address, and counts this request as a read or a write. @throws Problem 429 */
  identify(accountId: string): Promise<void>
  /** @throws Problem 429 `rate_limited` with Retry-After */
  count(policy: Policy): Promise<void>
  /** `RateLimit` and `RateLimit-Policy`, of all that was counted so far. */
  fields(): Head
}

/** Counts the request against one more policy than read and write: `limited('upload')`. Stands behind `signedIn`. */
export const limited =
  (policy: Policy): MiddlewareHandler<HttpEnv> =>
  async (c, next) => {
    await c.get('limits').count(policy)
    await next()
  }

/**
 * Stands before everything: limits by address, and gives `c.get('limits')`; its fields `RateLimit` and `RateLimit-Policy` (IETF draft
 * ietf-httpapi-ratelimit-headers) of all policies that were counted stand on every answer. Switched off it counts and refuses nothing.
 */
export function rateLimits(on: boolean): MiddlewareHandler<HttpEnv> {
  const limiters = new Map<Policy, RateLimiterMemory>()
  for (const [name, [points, duration]] of entries)
    limiters.set(name, new RateLimiterMemory({ keyPrefix: name, points, duration }))
  return async (c, next) => {
    const limits = new Counted(c, on ? limiters : null)
    c.set('limits', limits)
    await limits.count('address')
    await next()
  }
}

/** Limits of WebSockets' handshakes, which no route sees. @throws Problem 429 */
export interface HandshakeLimits {
  /** Before anybody is known: by the client's network. */
  byAddress(request: IncomingMessage): Promise<void>
  byAccount(accountId: string): Promise<void>
}

/** Switched off they refuse nothing. Counted apart from requests. */
export function handshakeLimits(on: boolean, trustedProxies: readonly string[]): HandshakeLimits {
  const addressOf = clientAddresses(trustedProxies)
  const counting = (policy: Policy): ((subject: string) => Promise<void>) => {
    const [points, seconds] = policies[policy]
    const limiter = new RateLimiterMemory({ keyPrefix: `handshake_${policy}`, points, duration: seconds })
    return async subject => {
      if (!on) return
      const { consumedPoints, msBeforeNext } = await limiter.consume(subject).catch(limitOf)
      if (consumedPoints <= points) return
      const wait = secondsOf(msBeforeNext, seconds)
      throw new Problem('rate_limited', `Too many connections: try again in ${wait} s.`, {
        headers: { 'Retry-After': String(wait) },
      })
    }
  }
  const [address, account] = [counting('address'), counting('live')]
  return {
    byAddress: ({ socket, headers }) => {
      const forwarded = [headers['x-forwarded-for'] ?? []].flat().join(',')
      return address(network(addressOf(socket.remoteAddress ?? '127.0.0.1', forwarded === '' ? undefined : forwarded)))
    },
    byAccount: account,
  }
}

const entries = Object.entries(policies) as [Policy, readonly [number, number]][]

class Counted implements RequestLimits {
  readonly #method: string
  readonly #limiters: ReadonlyMap<Policy, RateLimiterMemory> | null
  readonly #left = new Map<Policy, { remaining: number; seconds: number }>()
  #subject: string

  constructor(c: Context<HttpEnv>, limiters: ReadonlyMap<Policy, RateLimiterMemory> | null) {
    this.#method = c.req.method
    this.#limiters = limiters
    this.#subject = network(c.get('clientAddress'))
  }

  async identify(accountId: string): Promise<void> {
    this.#subject = accountId
    await this.count(this.#method === 'GET' || this.#method === 'HEAD' ? 'read' : 'write')
  }

  async count(policy: Policy): Promise<void> {
    const [points, seconds] = policies[policy]
    if (this.#limiters === null) {
      this.#left.set(policy, { remaining: points, seconds })
      return
    }
    const result = await this.#limiters.get(policy)!.consume(this.#subject).catch(limitOf)
    const wait = secondsOf(result.msBeforeNext, seconds)
    this.#left.set(policy, { remaining: result.remainingPoints, seconds: wait })
    if (result.consumedPoints <= points) return
    throw new Problem('rate_limited', `Too many requests (${policy}): try again in ${wait} s.`, {
      headers: { 'Retry-After': String(wait) },
    })
  }

  fields(): Head {
    const names = [...this.#left]
    return {
      RateLimit: names.map(([name, { remaining, seconds }]) => `"${name}";r=${remaining};t=${seconds}`).join(', '),
      'RateLimit-Policy': names.map(([name]) => `"${name}";q=${policies[name][0]};w=${policies[name][1]}`).join(', '),
    }
  }
}

/** What is left of a window, in whole seconds. The library goes by a clock that may have jumped back; the window itself ends in time. */
const secondsOf = (ms: number, window: number): number => Math.min(window, Math.max(1, Math.ceil(ms / 1000)))

/** The library rejects with the count where it is used up, with an Error where it fails. */
function limitOf(reason: RateLimiterRes | Error): RateLimiterRes {
  if (reason instanceof Error) throw reason
  return reason
}
