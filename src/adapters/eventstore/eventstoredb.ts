import { setTimeout as pause } from 'node:timers/promises'
import {
  type EventStoreDBClient,
  MaxAppendSizeExceededError,
  NO_STREAM,
  StreamNotFoundError,
  WrongExpectedVersionError,
} from '@eventstore/db-client'
import type { LoggedEvent, StoredEvent } from '../../kernel/events.ts'
import {
  type Appended,
  type EventStore,
  EventTooLarge,
  noStream,
  type Slice,
  type Subscription,
  WrongRevision,
} from '../../kernel/ports/event-store.ts'
import type { Log } from '../../kernel/ports/log.ts'
import { acquireAppender } from './eventstoredb/appender.ts'
import { Connection, collect, type Patience, patience, readEnd, readHead } from './eventstoredb/connection.ts'
import { EventStoreUnavailable, isOrdinary, isTransient } from './eventstoredb/errors.ts'
import { maxEventBytes, toLogged, toNumber, toProposed } from './eventstoredb/records.ts'
import { follow } from './eventstoredb/subscription.ts'

export { eventStoreProblem, isTransient } from './eventstoredb/errors.ts'

export type EventStoreDbOptions = {
  /** `esdb://…`, one host, several, or `esdb+discover://`. */
  readonly url: string
  /** Stands before every stream's name, so that several can share one log. */
  readonly namespace: string
  readonly log: Log
  readonly patience?: Patience
}

/**
 * The event log in EventStoreDB (KurrentDB), once it has answered.
 * @throws where it does not, or the user may not read $all
 */
export async function openEventStoreDb(options: EventStoreDbOptions): Promise<EventStoreDb> {
  const store = new EventStoreDb(options)
  try {
    await store.head()
    return store
  } catch (error) {
    await store.close()
    throw error
  }
}

/** The event log in EventStoreDB through its client. What it must live with there is named, fact by fact, in
 * tests/contracts/eventstoredb-facts.test.ts. */
export class EventStoreDb implements EventStore {
  readonly maxEventBytes = maxEventBytes
  readonly positionsPerEvent = 600
  readonly #namespace: string
  readonly #log: Log
  readonly #patience: Patience
  readonly #readers: Connection
  readonly #appending: ReturnType<typeof acquireAppender>
  readonly #ended = new AbortController()
  readonly #appends = new Set<Promise<Appended>>()

  constructor(options: EventStoreDbOptions) {
    this.#namespace = options.namespace
    this.#log = options.log
    this.#patience = options.patience ?? patience
    // What a replaced client still reads goes on or fails by itself: each read has its own patience, each subscription its watch.
    this.#readers = new Connection(options.url, async () => {})
    this.#appending = acquireAppender(options.url, this.#patience.settle)
  }

  get reconnects(): number {
    return this.#readers.replaced
  }

  append(stream: string, events: readonly StoredEvent[], expected: number): Promise<Appended> {
    const appended = this.#append(stream, events, expected).finally(() => this.#appends.delete(appended))
    this.#appends.add(appended)
    return appended
  }

  async read(stream: string): Promise<readonly LoggedEvent[]> {
    const found = await this.#reading(client =>
      // Followers may not have what the leader has just acknowledged.
      collect(
        client.readStream(this.#namespace + stream, { requiresLeader: true, resolveLinkTos: false }),
        this.#patience.attempt,
      ).catch(error => {
        if (error instanceof StreamNotFoundError) return []
        throw error
      }),
    )
    return found.map(({ event, commitPosition }) => {
      const logged = event === undefined ? null : toLogged(event, this.#namespace, commitPosition)
      if (logged === null) throw new Error(`${stream} holds an event that Darkroom did not write`)
      return logged
    })
  }

  async *subscribe({ after, types, signal: asked }: Subscription): AsyncIterable<Slice> {
    const signal = AbortSignal.any([asked, this.#ended.signal])
    let passed = after
    let failures = 0
    while (!signal.aborted) {
      let client: EventStoreDBClient | undefined
      try {
        client = await this.#readers.client(this.#patience.reader)
        for await (const slice of follow({
          client,
          namespace: this.#namespace,
          after: passed,
          types,
          signal,
          patience: this.#patience,
        })) {
          passed = slice.passed
          failures = 0
          yield slice
        }
      } catch (error) {
        if (signal.aborted) return
        if (!isTransient(error)) throw error
        if (isOrdinary(error)) this.#log.debug({ passed, reason: String(error) }, 'a reader of the log subscribes anew')
        else {
          const level = failures === 0 ? 'warn' : 'debug'
          this.#log[level]({ passed, error: String(error) }, 'a reader lost the log; it reads on as soon as it can')
          if (client !== undefined) this.#readers.failed(client, error)
        }
      }
      if (failures > 0) await pause(Math.min(50 * 2 ** failures, 1_000), undefined, { signal, ref: false }).catch(() => {})
      failures++
    }
  }

  async head(): Promise<number> {
    const end = await this.#reading(client => readHead(client, this.#patience.attempt))
    return end === null ? 0 : toNumber(end.commit)
  }

  end(): Promise<number> {
    return this.#reading(client => readEnd(client, this.#patience.attempt))
  }

  async close(): Promise<void> {
    this.#ended.abort()
    await Promise.allSettled(this.#appends)
    await this.#appending.release()
    await this.#readers.close()
  }

  async #append(stream: string, events: readonly StoredEvent[], expected: number): Promise<Appended> {
    if (this.#ended.signal.aborted) throw new Error('the log is closed')
    const proposed = toProposed(events)
    const expectedRevision = expected === noStream ? NO_STREAM : BigInt(expected)
    try {
      const { appender } = this.#appending
      const { position } = await appender.append(this.#namespace + stream, proposed, expectedRevision, this.#patience)
      const revision = expected + events.length
      // A server that finds the events there already may leave the position out.
      if (position !== undefined) return { revision, position: toNumber(position.commit) }
      return { revision, position: (await this.read(stream))[revision]!.position }
    } catch (error) {
      if (error instanceof WrongExpectedVersionError) throw new WrongRevision(stream, expected)
      if (error instanceof MaxAppendSizeExceededError)
        throw new EventTooLarge(`The log takes ${error.maxAppendSize} bytes at once.`)
      throw error
    }
  }

  /** A read, repeated while the server does not answer. */
  async #reading<T>(read: (client: EventStoreDBClient) => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.#patience.total
    for (let attempt = 1; ; attempt++) {
      let client: EventStoreDBClient | undefined
      try {
        client = await this.#readers.client(Math.min(this.#patience.attempt, deadline - performance.now()))
        const answer = await read(client)
        this.#readers.heard(client)
        return answer
      } catch (error) {
        if (!isTransient(error)) throw error
        if (client !== undefined) this.#readers.failed(client, error)
        const wait = Math.random() * Math.min(25 * 2 ** attempt, 1_000)
        if (performance.now() + wait >= deadline) {
          throw new EventStoreUnavailable(`no answer to a read within ${this.#patience.total} ms`, { cause: error })
        }
        await pause(wait)
      }
    }
  }
}
