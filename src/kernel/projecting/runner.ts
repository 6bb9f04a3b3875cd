import { setTimeout as pause } from 'node:timers/promises'
import type { Bus } from '../ports/bus.ts'
import type { EventStore } from '../ports/event-store.ts'
import type { Log } from '../ports/log.ts'
import { type Database, sql } from '../sql.ts'
import type { Consumer } from './consumer.ts'
import { Dispatcher } from './dispatcher.ts'
import { Follower } from './follower.ts'
import { attend, depart, leaseMs } from './leases.ts'

/** The subject on which positions are told: {consumer key: position}, true when it is sent. */
export const positionsSubject = 'darkroom.positions'

export type RunnerParts = {
  readonly store: EventStore
  readonly db: Database
  readonly bus: Bus
  readonly log: Log
  readonly holder: string
  readonly isTransient: (error: unknown) => boolean
  /** Told of every failure of a consumer. */
  readonly failed?: (key: string) => void
}

/**
 * Milliseconds between two writings of how far all is: whoever waits is told by the bus, at once, and the row is for those whom it did not reach. Written
 * after each batch instead, it was every third commit of a server that is not busy.
 */
const noteEveryMs = 20

/** Runs this process's share of the consumers. */
export class Runner {
  readonly #parts: RunnerParts
  readonly #consumers: readonly Consumer[]
  readonly #stopping = new AbortController()
  #followers: Follower[] = []
  #work: Promise<unknown>[] = []
  #dispatcher: Dispatcher | null = null
  #news: Map<string, number> | null = null
  #noting: Promise<void> | null = null
  #noteAgain = false
  #timer: NodeJS.Timeout | undefined
  #attending: Promise<void> | null = null

  constructor(parts: RunnerParts, consumers: readonly Consumer[]) {
    this.#parts = parts
    this.#consumers = consumers
  }

  async start(): Promise<void> {
    const { store, db, log, holder, isTransient, failed = () => {} } = this.#parts
    const { signal } = this.#stopping
    const head = await store.head()
    const dispatcher = new Dispatcher(
      store,
      this.#consumers.flatMap(consumer => [...consumer.types]),
      () => this.#note(),
    )
    this.#dispatcher = dispatcher
    this.#work.push(this.#dispatch(dispatcher, head, signal))
    this.#followers = this.#consumers.map(
      consumer =>
        new Follower(consumer, {
          store,
          db,
          dispatcher,
          holder,
          log,
          isTransient,
          failed,
          committed: (key, position) => this.#tell({ key, position }),
          settled: () => this.#note(),
        }),
    )
    await this.#attend()
    for (const follower of this.#followers) this.#work.push(follower.run(signal))
    this.#timer = setInterval(() => {
      this.#attending ??= this.#attend().finally(() => {
        this.#attending = null
      })
    }, leaseMs / 4)
    this.#timer.unref()
  }

  /** Ends after the batches that are under way; gives the leases back. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#stopping.abort()
    await this.#attending
    await Promise.all(this.#work)
    await this.#noting
    if (this.#dispatcher === null) return
    try {
      await depart(this.#parts.db, this.#parts.holder)
    } catch (error) {
      this.#parts.log.warn({ error: String(error) }, 'the run row could not be removed')
    }
  }

  async #dispatch(dispatcher: Dispatcher, head: number, signal: AbortSignal): Promise<void> {
    let after = head
    while (!signal.aborted) {
      try {
        await dispatcher.run(after, signal)
      } catch (error) {
        this.#parts.log.error({ err: error }, 'the log cannot be followed; tries again')
        await new Promise<void>(resolve => setTimeout(resolve, 1_000))
      }
      after = dispatcher.position
    }
  }

  async #attend(): Promise<void> {
    const { db, holder, log } = this.#parts
    const leases = this.#followers.map(follower => follower.lease)
    try {
      const standing = await attend(
        db,
        holder,
        this.#followers.filter(({ wanting }) => wanting).map(({ consumer }) => consumer.key),
      )
      for (const [index, follower] of this.#followers.entries()) follower.attend(standing, leases[index]!)
    } catch (error) {
      log.warn({ error: String(error) }, 'leases could not be renewed')
    }
  }

  /** Tells how far a consumer is, and with it all who have no work left: once for what happens in one turn. */
  #tell(told?: { readonly key: string; readonly position: number }): void {
    if (this.#news === null) {
      this.#news = new Map()
      process.nextTick(() => {
        const news = this.#news!
        this.#news = null
        for (const { settled, consumer } of this.#followers)
          if (settled) news.set(consumer.key, Math.max(news.get(consumer.key) ?? 0, this.#dispatcher!.position))
        if (news.size > 0) this.#parts.bus.publish(positionsSubject, Object.fromEntries(news))
      })
    }
    if (told !== undefined) this.#news.set(told.key, told.position)
  }

  /** Tells how far those are who have no work left, and sees to it that it is written. */
  #note(): void {
    this.#tell()
    this.#noteAgain = true
    this.#noting ??= this.#writeNotes()
  }

  /** Writes how far all is dispatched and who has work left, until that is the last word. */
  async #writeNotes(): Promise<void> {
    const { db, holder, log } = this.#parts
    const { signal } = this.#stopping
    while (this.#noteAgain) {
      await pause(noteEveryMs, undefined, { signal, ref: false }).catch(() => {})
      if (signal.aborted) break
      this.#noteAgain = false
      const position = this.#dispatcher!.position
      // Also those that others hold now: should this process take one over, its row must not speak for it before its time.
      const pending = this.#followers.filter(follower => !follower.settled).map(follower => follower.consumer.key)
      try {
        await db.run(sql`
          insert into kernel.runs (holder, position, pending) values (${holder}, ${position}, ${sql.val(pending)}::text[])
          on conflict (holder) do update set position = excluded.position, pending = excluded.pending, seen_at = now()`)
      } catch (error) {
        log.warn({ error: String(error) }, 'the run row could not be written')
      }
    }
    // In the same turn as the last look at whether there is more to write.
    this.#noting = null
  }
}
