import * as v from 'valibot'
import type { Bus } from './ports/bus.ts'
import { Problem, refuse } from './problem.ts'
import { positionsSubject } from './projecting/runner.ts'
import { mac, type Secrets, sameBytes } from './secrets.ts'
import { type Database, query, sql } from './sql.ts'

const positionsQuery = query<Record<never, never>, { key: string; position: number }>(
  () => sql`
    select c.key, greatest(c.checkpoint, case when not c.key = any(r.pending) then r.position end) as position
    from kernel.consumers c left join kernel.runs r on r.holder = c.holder`,
)

/** How far each consumer of the log is: its checkpoint or, with nothing pending, all that its process has dispatched. */
export async function positionsOf(db: Database): Promise<ReadonlyMap<string, number>> {
  return new Map((await positionsQuery(db, {})).map(({ key, position }) => [key, position]))
}

/** What is told on `positionsSubject`. */
const Told = v.record(v.string(), v.pipe(v.number(), v.safeInteger()))

type Waiter = { readonly keys: readonly string[]; readonly position: number; readonly done: () => void }

const pollMs = 25

/** Waits until read models have reached a position: told by the bus, and by a poll of Postgres while somebody waits. */
export class Positions {
  readonly #db: Database
  readonly #known = new Map<string, number>()
  readonly #waiting = new Set<Waiter>()
  readonly #unsubscribe: () => void
  #polling: Promise<void> | null = null
  #closed = false

  constructor(db: Database, bus: Bus) {
    this.#db = db
    this.#unsubscribe = bus.subscribe(positionsSubject, message => {
      if (v.is(Told, message)) this.#learn(Object.entries(message))
    })
  }

  /** Whether all of the consumers are known to be at the position. */
  reached(keys: readonly string[], position: number): boolean {
    return keys.every(key => (this.#known.get(key) ?? 0) >= position)
  }

  /**
   * @param timeout milliseconds, 5 s by default
   * @throws Problem read_model_behind
   */
  async wait(keys: readonly string[], position: number, timeout = 5_000): Promise<void> {
    if (position === 0 || this.reached(keys, position)) return
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        keys,
        position,
        done: () => {
          clearTimeout(timer)
          this.#waiting.delete(waiter)
          resolve()
        },
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(waiter)
        const behind = keys.filter(key => (this.#known.get(key) ?? 0) < position)
        reject(
          new Problem('read_model_behind', `Not yet as new as asked: ${behind.join(', ')}. Try again.`, {
            headers: { 'Retry-After': '1' },
          }),
        )
      }, timeout)
      this.#waiting.add(waiter)
      this.#polling ??= this.#poll()
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#unsubscribe()
    await this.#polling
  }

  #learn(positions: Iterable<readonly [string, number]>): void {
    for (const [key, position] of positions) if (position > (this.#known.get(key) ?? 0)) this.#known.set(key, position)
    for (const waiter of [...this.#waiting]) if (this.reached(waiter.keys, waiter.position)) waiter.done()
  }

  async #poll(): Promise<void> {
    while (this.#waiting.size > 0 && !this.#closed) {
      await new Promise(resolve => setTimeout(resolve, pollMs))
      if (this.#waiting.size === 0) break
      try {
        this.#learn(await positionsOf(this.#db))
      } catch {
        // The database is away: who waits is answered by the timeout, and the next poll asks again.
      }
    }
    // In the same turn as the last look at who waits: a later one starts a poll of its own.
    this.#polling = null
  }
}

/** Consistency tokens: a position of this deployment's epoch, opaque and signed, bound to no account. */
export class Tokens {
  readonly #secrets: Secrets
  readonly #epoch: string

  constructor(secrets: Secrets, epoch: string) {
    this.#secrets = secrets
    this.#epoch = epoch
  }

  issue(position: number): string {
    const text = `${this.#epoch}.${position.toString(36)}`
    return `${text}.${mac(this.#secrets.key('tokens'), text, 12).toString('base64url')}`
  }

  /** The position of a token. @throws Problem consistency_token_invalid, consistency_token_expired */
  read(token: string): number {
    const [, text, epoch, position, signature] = /^(([0-9a-f]{8})\.([0-9a-z]{1,11}))\.([\w-]{16})$/.exec(token) ?? []
    if (text === undefined || epoch === undefined || position === undefined || signature === undefined) {
      return refuse('consistency_token_invalid', 'Send a Consistency-Token as this deployment answered it.')
    }
    const given = Buffer.from(signature, 'base64url')
    if (!this.#secrets.accepted('tokens').some(key => sameBytes(mac(key, text, 12), given))) {
      return refuse('consistency_token_invalid', 'This Consistency-Token was not issued by this deployment.')
    }
    if (epoch !== this.#epoch)
      return refuse('consistency_token_expired', 'This Consistency-Token is from before a restore: drop it.')
    return Number.parseInt(position, 36)
  }
}
