import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type pg from 'pg'

const channel = 'darkroom_log'
const pollMs = 500
const notifyEveryMs = 5
/** The same where no other process has been heard of: who comes says so, and again each `hereMs`. A NOTIFY is a transaction, and wakes its own process too. */
const notifyAloneMs = 250
const hereMs = 10_000

/** Why a reader goes on: this process has appended, another one told so, or it looks by itself. */
export type Woken = 'appended' | 'notified' | 'polled'

/**
 * Tells the log's readers that there is something new: at once within this process, by NOTIFY to others (outside the appending transaction,
 * where it would cost three quarters of the throughput, and coalesced; rarely where there are none), and by a poll where that was lost.
 */
export class Wakeups {
  readonly #pool: pg.Pool
  readonly #onError: (error: Error) => void
  readonly #sleepers = new Set<(why: Woken) => void>()
  /** Told with each NOTIFY, so that a process knows its own. */
  readonly #name = randomUUID()
  readonly #ended = new AbortController()
  #listening: Promise<void> | null = null
  #notifying: Promise<void> | null = null
  #heard = 0
  /** When another process was heard last; at first as if one had been just now. */
  #heardAt = performance.now()

  constructor(pool: pg.Pool, onError: (error: Error) => void) {
    this.#pool = pool
    this.#onError = onError
  }

  /** How often something was heard of other processes: while it does not change, only this one has appended, as far as it is known. */
  get heard(): number {
    return this.#heard
  }

  /** Something was appended here. */
  appended(): void {
    this.#wake('appended')
    const alone = performance.now() - this.#heardAt > 3 * hereMs
    this.#notifying ??= this.pause(alone ? notifyAloneMs : notifyEveryMs, this.#ended.signal)
      .then(() => {
        this.#notifying = null
        return this.#notify(this.#pool)
      })
      .catch(this.#onError)
  }

  async #notify(by: pg.Pool | pg.PoolClient): Promise<void> {
    await by.query(`notify ${channel}, '${this.#name}'`)
  }

  /** Resolves at the next sign of something new, at the poll, or when the signal aborts. Call it before reading, so that nothing slips between. */
  next(signal: AbortSignal): Promise<Woken> {
    this.#listening ??= this.#listen()
    return new Promise(resolve => {
      const done = (why: Woken): void => {
        clearTimeout(timer)
        this.#sleepers.delete(done)
        signal.removeEventListener('abort', aborted)
        resolve(why)
      }
      const aborted = (): void => done('polled')
      const timer = setTimeout(done, pollMs, 'polled').unref()
      this.#sleepers.add(done)
      signal.addEventListener('abort', aborted, { once: true })
      if (signal.aborted) aborted()
    })
  }

  /** Waits; less where the signal aborts. */
  async pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    await pause(milliseconds, undefined, { signal, ref: false }).catch(() => {})
  }

  async close(): Promise<void> {
    this.#ended.abort()
    this.#wake('polled')
    await this.#notifying
    await this.#listening
  }

  #wake(why: Woken): void {
    for (const done of [...this.#sleepers]) done(why)
  }

  /** Keeps one connection listening, and opens another where it breaks. */
  async #listen(): Promise<void> {
    const { signal } = this.#ended
    while (!signal.aborted) {
      let client: pg.PoolClient | undefined
      let broken: Error | undefined
      let telling: NodeJS.Timeout | undefined
      try {
        client = await this.#pool.connect()
        const listening = client
        await new Promise<void>((resolve, reject) => {
          listening.on('notification', ({ payload }) => {
            if (payload === this.#name) return
            this.#heard++
            this.#heardAt = performance.now()
            this.#wake('notified')
          })
          listening.once('error', reject)
          listening.once('end', () => reject(new Error('the listening connection ended')))
          signal.addEventListener('abort', () => resolve(), { once: true })
          if (signal.aborted) resolve()
          listening.query(`listen ${channel}`).catch(reject)
          const tell = (): void => void this.#notify(listening).catch(reject)
          tell()
          telling = setInterval(tell, hereMs).unref()
        })
      } catch (error) {
        broken = error as Error
        if (!signal.aborted) this.#onError(broken)
      }
      clearInterval(telling)
      // Never back to the pool as it is: it listens, or it is broken.
      client?.removeAllListeners('notification')
      client?.release(broken ?? true)
      if (!signal.aborted) await this.pause(1_000, signal)
    }
  }
}
