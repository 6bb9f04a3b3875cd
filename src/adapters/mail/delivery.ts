import { type Clock, iso } from '../../kernel/ports/clock.ts'
import type { Log } from '../../kernel/ports/log.ts'
import { type Db, sql } from '../../kernel/sql.ts'
import { placeIn, type Tracing } from '../../kernel/tracing.ts'
import { type Letter, type Post, Undeliverable } from './smtp.ts'

type Parts = { readonly db: Db; readonly clock: Clock; readonly log: Log; readonly post: Post; readonly tracing?: Tracing | null }

/** All in milliseconds. A mail that is under way belongs to its process for longer than a try can take. */
const oneTry = 60_000
const claimed = 2 * oneTry
const firstWait = 5_000
const longestWait = 15 * 60_000
/** After which a mail would only puzzle. */
const tooLate = 24 * 3_600_000

type Due = Letter & { readonly id: string; readonly at: string; readonly tries: number; readonly traceparent: string | null }

/**
 * Delivers what waits in the outbox, one mail after another, in any number of processes. A mail that cannot be delivered now is tried again, later each
 * time, for a day; no mail waits for another. It may come twice where a process dies right after sending: with the same Message-ID.
 */
export class MailDelivery {
  readonly #parts: Parts
  readonly #everyMs: number
  readonly #stopping = new AbortController()
  #interval: NodeJS.Timeout | undefined
  #delivering: Promise<number> | null = null
  #again = false

  constructor(parts: Parts, everyMs = 5_000) {
    this.#parts = parts
    this.#everyMs = everyMs
  }

  start(): void {
    this.#interval = setInterval(this.nudge, this.#everyMs)
    this.#interval.unref()
  }

  /** There may be something due. */
  readonly nudge = (): void => {
    this.deliver().catch(error => this.#parts.log.warn({ error: String(error) }, 'mails wait for the database'))
  }

  /** Breaks off what is under way; it is tried again by whoever comes next. */
  async stop(): Promise<void> {
    clearInterval(this.#interval)
    this.#stopping.abort()
    // Who started it has heard of its error.
    await this.#delivering?.catch(() => {})
  }

  /** Delivers all that is due, also what becomes due meanwhile. Returns how many mails were sent. */
  deliver(): Promise<number> {
    this.#again = true
    this.#delivering ??= this.#deliverAll().finally(() => {
      this.#delivering = null
    })
    return this.#delivering
  }

  async #deliverAll(): Promise<number> {
    let sent = 0
    while (this.#again && !this.#stopping.signal.aborted) {
      this.#again = false
      for (let due = await this.#claim(); due !== null; due = await this.#claim()) if (await this.#try(due)) sent++
    }
    return sent
  }

  async #claim(): Promise<Due | null> {
    const { db, clock } = this.#parts
    if (this.#stopping.signal.aborted) return null
    const now = clock.now()
    const [due] = await db.run<Due>(sql`
      update kernel.outbox set due = ${iso(now + claimed)}, tries = tries + 1
      where id = (select id from kernel.outbox where due <= ${iso(now)} order by due limit 1 for update skip locked)
      returning id, key, recipient as "to", subject, text, at, tries, traceparent`)
    return due ?? null
  }

  async #try({ id, at, tries, traceparent, ...letter }: Due): Promise<boolean> {
    const { clock, log, post, tracing = null } = this.#parts
    const mail = post.messageId(letter.key)
    if (clock.now() - Date.parse(at) > tooLate) {
      log.error({ mail, tries: tries - 1 }, 'a mail could not be delivered within a day, and is given up')
      await this.#close(id)
      return false
    }
    const deliver = (): Promise<void> =>
      post.deliver(letter, AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(oneTry)]))
    try {
      const parent = tracing === null ? null : placeIn(traceparent)
      await (tracing === null || parent === null
        ? deliver()
        : tracing.run({ name: 'send mail', kind: 'client', parent }, deliver))
    } catch (error) {
      const stopped = this.#stopping.signal.aborted
      if (error instanceof Undeliverable) {
        log.error({ mail, reason: error.message }, 'a mail is refused for good, and is given up')
        await this.#close(id)
      } else {
        const wait = stopped ? 0 : Math.min(firstWait * 3 ** (tries - 1), longestWait)
        if (!stopped) log.warn({ mail, tries, reason: String(error), seconds: wait / 1000 }, 'a mail waits for its next try')
        await this.#parts.db.run(
          sql`update kernel.outbox set due = ${iso(clock.now() + wait)} where id = ${id} and due is not null`,
        )
      }
      return false
    }
    await this.#close(id)
    log.debug({ mail, tries }, 'a mail was sent')
    return true
  }

  /** What is done stays as a key alone, so that a repeat is known. */
  async #close(id: string): Promise<void> {
    await this.#parts.db.run(
      sql`update kernel.outbox set due = null, recipient = '', subject = null, text = '', traceparent = null where id = ${id}`,
    )
  }
}
