import { Problem } from '../problem.ts'
import { mac } from '../secrets.ts'
import { type Db, query, sql } from '../sql.ts'
import { network } from './client-address.ts'

/**
 * How many wrong guesses within 15 minutes: at one login (or code) from one network, at one login from anywhere, from one network at anything.
 * The first is small; the others are wide, so that nobody can lock a stranger out for long.
 * What right ones cost is bounded by the policies of requests (`sign-in`, `sign-up`).
 */
const most = { pair: 10, subject: 100, network: 200 } as const
const windowMs = 15 * 60_000
/** After so many of a process's own, the rows of guesses long ago are removed. */
const sweptEvery = 1_000

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

/** By the clock of the database, for all nodes share it: a window that a wrong clock once put far ahead is cut to what it may be. */
const nowMs = sql`(extract(epoch from clock_timestamp()) * 1000)::bigint`
const countQuery = query<{ keys: readonly string[] }, { key: string; points: number; left: number }>(
  p => sql`
    insert into kernel.guesses as g (key, points, expire)
    select key, 1, ${nowMs} + ${sql.lit(windowMs)} from unnest(${p.keys}::text[]) key
    on conflict (key) do update set
      points = case when g.expire <= ${nowMs} then 1 else g.points + 1 end,
      expire = case when g.expire <= ${nowMs} then excluded.expire else least(g.expire, excluded.expire) end
    returning key, points, expire - ${nowMs} as left`,
)
/** One statement, for it stands in the way of every sign-in. It locks in the order in which they are counted too. */
const forgetQuery = query<{ keys: readonly string[]; pair: string }, never>(
  p => sql`
    with own as materialized (select key from kernel.guesses where key = any(${p.keys}::text[]) order by key for update),
      gone as (delete from kernel.guesses g using own where g.key = own.key and own.key = ${p.pair})
    update kernel.guesses g set points = points - 1 from own where g.key = own.key and own.key <> ${p.pair}`,
)

/**
 * Limits guesses in `kernel.guesses`.
 * @param options.on false (RATE_LIMIT=off) leaves passwords uncounted; codes are counted always
 */
export function guessLimiter(db: Db, { key, on }: { key: Buffer; on: boolean }): GuessLimiter {
  const keysOf = (kind: string, subject: string, address: string): Record<keyof typeof most, string> => {
    const from = network(address)
    const named = (name: keyof typeof most, text: string) => `${name}:${mac(key, text, 18).toString('base64url')}`
    return {
      pair: named('pair', JSON.stringify([kind, subject, from])),
      subject: named('subject', JSON.stringify([kind, subject])),
      network: named('network', from),
    }
  }
  const counts = (kind: string) => on || kind === 'code'
  let counted = 0
  return {
    async count(kind, subject, clientAddress) {
      if (!counts(kind)) return
      if (counted++ % sweptEvery === 0) await db.run(sql`delete from kernel.guesses where expire <= ${nowMs}`)
      // Always in the same order, so that no two of them wait for each other's rows.
      const rows = await countQuery(db, { keys: Object.values(keysOf(kind, subject, clientAddress)).sort() })
      const full = rows.filter(({ key, points }) => points > most[key.split(':')[0] as keyof typeof most])
      if (full.length === 0) return
      const wait = Math.max(1, ...full.map(({ left }) => Math.ceil(left / 1000)))
      throw new Problem('rate_limited', `Too many tries: wait ${wait} s.`, { headers: { 'Retry-After': String(wait) } })
    },
    async succeeded(kind, subject, clientAddress) {
      if (!counts(kind)) return
      const keys = keysOf(kind, subject, clientAddress)
      await forgetQuery(db, { keys: Object.values(keys), pair: keys.pair })
    },
  }
}
