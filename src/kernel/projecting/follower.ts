import { setTimeout as sleep } from 'node:timers/promises'
import { NewerEvent } from '../codec.ts'
import type { LoggedEvent } from '../events.ts'
import type { EventStore } from '../ports/event-store.ts'
import type { Log } from '../ports/log.ts'
import { Problem } from '../problem.ts'
import { type Database, sql } from '../sql.ts'
import { type Consumer, type Lease, LeaseLost } from './consumer.ts'
import type { Dispatcher, Intake } from './dispatcher.ts'
import { advance, releaseLease, type Standing, setState, takeLease } from './leases.ts'

export type Following = {
  readonly store: EventStore
  readonly db: Database
  readonly dispatcher: Dispatcher
  readonly holder: string
  readonly log: Log
  /** Whether the error says nothing about the event: of the connection, of locks, of resources. */
  readonly isTransient: (error: unknown) => boolean
  /** Told after every commit, with the consumer's key and how far it is. */
  readonly committed: (key: string, position: number) => void
  /** Told of every failure of a consumer, also where it is tried again. */
  readonly failed: (key: string) => void
  /** Told when nothing is left to do of what the dispatcher handed out. */
  readonly settled: () => void
}

const batchEvents = 1_000
/** Milliseconds after which a process that does not know an event yet looks again whether it is to follow. */
const upgradeLookMs = 10_000
/** A checkpoint without rows to write is kept only so often: a restart looks through about so many events again at most. */
const idleCheckpointEvery = 10_000

/** One consumer in this process: waits until it is its share, and for the lease, reads by itself until it has caught up, then from the dispatcher, and back where it falls behind. */
export class Follower {
  readonly consumer: Consumer
  readonly #with: Following
  #checkpoint = 0
  #lease: Lease | null = null
  #held = new AbortController()
  #intake: Intake | null = null
  /** Whether the dispatcher's events continue what was read here. */
  #live = false
  #wanting = true
  #resumable: (() => void) | null = null
  /** Whether it is this process's share to run the consumer. */
  #mine = false

  constructor(consumer: Consumer, following: Following) {
    this.consumer = consumer
    this.#with = following
  }

  /** False while it has met an event that this release does not know: others may follow instead. */
  get wanting(): boolean {
    return this.#wanting
  }

  /** True where nothing that the dispatcher has handed out waits here: the consumer is as far as the dispatcher. */
  get settled(): boolean {
    return this.#live && (this.#intake?.idle ?? false)
  }

  get lease(): Lease | null {
    return this.#lease
  }

  /**
   * Called with how the process stood while the consumer was held under `lease`: a lease that is not there any more, or that is another's share, ends the
   * work after the batch under way.
   */
  attend({ fences, mine }: Standing, lease: Lease | null): void {
    const { key } = this.consumer
    const wasMine = this.#mine
    this.#mine = mine.has(key)
    if (lease !== null && lease === this.#lease && (!this.#mine || fences.get(key) !== lease.fence)) this.#held.abort()
    if (this.#mine && !wasMine) this.#resumable?.()
  }

  /** Follows until the signal aborts, whatever happens on the way. */
  async run(signal: AbortSignal): Promise<void> {
    const { db, log, isTransient, holder } = this.#with
    const { key } = this.consumer
    let failures = 0
    while (!signal.aborted) {
      if (!this.#mine) {
        await this.#rest(1_000, signal)
        continue
      }
      try {
        const taken = await takeLease(db, key, holder)
        if (taken === null) {
          await this.#rest(200, signal)
          continue
        }
        this.#lease = taken.lease
        this.#checkpoint = taken.checkpoint
        this.#held = new AbortController()
        log.debug({ consumer: key, checkpoint: taken.checkpoint }, 'follows the log')
        await this.#follow(AbortSignal.any([signal, this.#held.signal]))
        failures = 0
      } catch (error) {
        if (error instanceof LeaseLost) log.warn({ consumer: key }, 'another process took over')
        else if (isTransient(error)) log.warn({ consumer: key, error: String(error) }, 'waits for the database or the log')
        else log.error({ consumer: key, err: error }, 'a consumer failed outside its events')
        failures++
        this.#with.failed(key)
      } finally {
        await this.#release()
      }
      if (!signal.aborted && failures > 0) await this.#rest(Math.min(100 * 2 ** failures, 3_000), signal)
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#catchUp(signal)
        await this.#fromDispatcher(signal)
      } catch (error) {
        if (!(error instanceof Stopped)) throw error
        this.#leave()
        if (error.state === 'paused') await this.#untilResumed(signal)
        else {
          // A newer release can go on: it need not wait for this process to end.
          this.#wanting = false
          await this.#release()
          await this.#rest(upgradeLookMs, signal)
          this.#wanting = true
          return
        }
      }
    }
  }

  /** Reads by itself, filtered by its types, until what the dispatcher hands over continues it. */
  async #catchUp(signal: AbortSignal): Promise<void> {
    const { store, dispatcher } = this.#with
    const reading = new AbortController()
    const types = [...this.consumer.types]
    let joinAt: number | null = null
    try {
      const own = AbortSignal.any([signal, reading.signal])
      for await (const slice of store.subscribe({ after: this.#checkpoint, types, signal: own })) {
        const until: number = joinAt ?? slice.passed
        await this.#apply(
          slice.events.filter(event => event.position <= until),
          Math.min(slice.passed, until),
          signal,
        )
        if (joinAt === null && slice.caughtUp) {
          const joined = dispatcher.join(types)
          this.#intake = joined.intake
          joinAt = joined.from
        }
        if (joinAt !== null && slice.passed >= joinAt) return
      }
    } finally {
      reading.abort()
    }
  }

  async #fromDispatcher(signal: AbortSignal): Promise<void> {
    const intake = this.#intake
    if (intake === null) return
    this.#live = true
    this.#with.committed(this.consumer.key, this.#checkpoint)
    while (!signal.aborted) {
      const taking = intake.take(batchEvents, signal)
      // Asking for more says that what was taken is done: from now on it may be as far as the dispatcher.
      if (this.settled) this.#with.settled()
      const taken = await taking
      if (taken === null) break
      // Joining may hand over again what was read just before.
      const fresh = taken.events.filter(event => event.position > this.#checkpoint)
      await this.#apply(fresh, Math.max(taken.through, this.#checkpoint), signal)
    }
    this.#leave()
  }

  /** Applies a batch; where it fails for a reason of its own, halves it until the one bad event is found. */
  async #apply(events: readonly LoggedEvent[], through: number, signal: AbortSignal): Promise<void> {
    const { log, isTransient, committed } = this.#with
    const { key } = this.consumer
    const lease = this.#lease!
    if (events.length === 0) {
      if (through - this.#checkpoint > idleCheckpointEvery * this.#with.store.positionsPerEvent) await this.#move(through)
      return
    }
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const before = this.#checkpoint
        await this.consumer.apply(events, tx => advance(tx, key, lease, before, through))
        this.#checkpoint = through
        committed(key, through)
        return
      } catch (error) {
        if (error instanceof LeaseLost) throw error
        this.#with.failed(key)
        if (isTransient(error) || isUnavailable(error)) {
          log.warn({ consumer: key, error: String(error) }, 'a batch waits and is tried again')
          await this.#rest(Math.min(50 * 2 ** failures, 3_000), signal)
          continue
        }
        if (error instanceof NewerEvent) return this.#stop('waiting_for_upgrade', events[0]!, error)
        if (events.length === 1) return this.#stop('paused', events[0]!, error)
        const half = events.length >> 1
        await this.#apply(events.slice(0, half), events[half - 1]!.position, signal)
        await this.#apply(events.slice(half), through, signal)
        return
      }
    }
  }

  async #move(through: number): Promise<void> {
    await advance(this.#with.db, this.consumer.key, this.#lease!, this.#checkpoint, through)
    this.#checkpoint = through
  }

  /** One bad event stops this one consumer, loudly; it is never skipped. A newer one waits for the upgrade, without an alarm. */
  async #stop(state: 'paused' | 'waiting_for_upgrade', event: LoggedEvent, error: unknown): Promise<never> {
    const { db, log } = this.#with
    const { key } = this.consumer
    const { id, type, stream, position } = event
    if (state === 'paused')
      log.error({ consumer: key, event: { id, type, stream, position }, err: error }, 'paused: this event cannot be projected')
    else log.info({ consumer: key, type, position, reason: String(error) }, 'waits for an upgrade')
    await setState(db, key, this.#lease!, state, { id, type, stream, position, message: String(error) })
    throw new Stopped(state)
  }

  /** Until the operator says resume, or the lease ends. */
  async #untilResumed(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#rest(2_000, signal)
      if (signal.aborted) return
      const [row] = await this.#with.db.run<{ state: string }>(
        sql`select state from kernel.consumers where key = ${this.consumer.key}`,
      )
      if (row === undefined || row.state === 'running') return
    }
  }

  #leave(): void {
    if (this.#intake !== null) this.#with.dispatcher.leave(this.#intake)
    this.#intake = null
    this.#live = false
  }

  async #release(): Promise<void> {
    this.#leave()
    const lease = this.#lease
    this.#lease = null
    if (lease === null) return
    try {
      await releaseLease(this.#with.db, this.consumer.key, lease)
    } catch (error) {
      this.#with.log.warn(
        { consumer: this.consumer.key, error: String(error) },
        'the lease could not be given back; it ends by itself',
      )
    }
  }

  async #rest(milliseconds: number, signal: AbortSignal): Promise<void> {
    const nudged = new AbortController()
    this.#resumable = () => nudged.abort()
    await sleep(milliseconds, undefined, { signal: AbortSignal.any([signal, nudged.signal]), ref: false }).catch(() => {})
    this.#resumable = null
  }
}

/** A part that a reaction needs does not answer at the moment. */
const isUnavailable = (error: unknown): boolean => error instanceof Problem && error.status === 503

/** The consumer stands still at one event. */
class Stopped extends Error {
  readonly state: 'paused' | 'waiting_for_upgrade'

  constructor(state: Stopped['state']) {
    super(state)
    this.state = state
  }
}
