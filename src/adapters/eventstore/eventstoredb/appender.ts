import { setTimeout as pause } from 'node:timers/promises'
import type { AppendExpectedRevision, AppendResult, EventData, EventStoreDBClient } from '@eventstore/db-client'
import { Connection, type Patience, within } from './connection.ts'
import { EventStoreUnavailable, isAnswer, isTransient } from './errors.ts'

/**
 * Appends under way at once. The client writes them all to one call whose buffer takes 16; what waits behind a full buffer when the connection
 * breaks is rejected where nobody can handle it, and an unhandled rejection ends the process.
 */
const inFlight = 15
const queueLimit = 20_000

/**
 * Appends, repeated with the same ids at the same revision while their outcome is unknown. The client keeps what it waits for in a map that
 * all clients of the process share: an error of one rejects the appends of all, and an answer that comes after that ends the process. So one
 * client appends, it does nothing else, and the next one is made only when nothing of it is left.
 */
export class Appender {
  readonly #connection: Connection
  readonly #sent = new Set<Promise<unknown>>()
  readonly #queue: (() => void)[] = []
  #free = inFlight

  constructor(url: string) {
    this.#connection = new Connection(url, async client => {
      await client.dispose()
      // Those that had not yet reached the call that was just cancelled: they may open another one.
      await Promise.allSettled(this.#sent)
      await client.dispose()
    })
  }

  /** @throws the client's errors, EventStoreUnavailable after `total` milliseconds without an answer */
  async append(
    stream: string,
    events: EventData[],
    expectedRevision: AppendExpectedRevision,
    patience: Patience,
  ): Promise<AppendResult> {
    const deadline = performance.now() + patience.total
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#slot(deadline)
        const until = Math.min(performance.now() + patience.attempt, deadline)
        return await this.#attempt(until, attempt, (client, milliseconds) =>
          // Without credentials: with them the client makes a call for each append. To the leader: a follower that has none waits 4.5 s.
          client.appendToStream(stream, events, { expectedRevision, requiresLeader: true, deadline: milliseconds }),
        )
      } catch (error) {
        if (!isTransient(error)) throw error
        const wait = Math.random() * Math.min(25 * 2 ** attempt, 1_000)
        if (performance.now() + wait >= deadline) {
          throw new EventStoreUnavailable(`no answer to an append within ${patience.total} ms`, { cause: error })
        }
        await pause(wait)
      }
    }
  }

  close(): Promise<void> {
    return this.#connection.close()
  }

  /** With a slot, which it gives back. */
  async #attempt(
    until: number,
    attempt: number,
    send: (client: EventStoreDBClient, milliseconds: number) => Promise<AppendResult>,
  ): Promise<AppendResult> {
    let free = true
    try {
      const client = await this.#connection.client(until - performance.now())
      const left = until - performance.now()
      if (left <= 0) throw new EventStoreUnavailable('EventStoreDB did not answer in time')
      const sent = send(client, left)
      this.#sent.add(sent)
      // The slot is free again when the client is done with it, which may be after our patience.
      free = false
      const done = (): void => {
        this.#sent.delete(sent)
        this.#release()
      }
      sent.then(done, done)
      try {
        return await within(left, sent)
      } catch (error) {
        // A server that answers "busy" is there, and a new client would ask the same one; if it says so twice, perhaps another leads.
        if (!isAnswer(error) || attempt > 1) this.#connection.failed(client, error)
        throw error
      }
    } finally {
      if (free) this.#release()
    }
  }

  async #slot(deadline: number): Promise<void> {
    if (this.#free > 0) {
      this.#free--
      return
    }
    if (this.#queue.length >= queueLimit) throw new EventStoreUnavailable('too many appends are waiting')
    await new Promise<void>((resolve, reject) => {
      const next = (): void => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(() => {
        this.#queue.splice(this.#queue.indexOf(next), 1)
        reject(new EventStoreUnavailable('EventStoreDB did not answer in time'))
      }, deadline - performance.now())
      this.#queue.push(next)
    })
  }

  #release(): void {
    const next = this.#queue.shift()
    if (next === undefined) this.#free++
    else next()
  }
}

let shared: { readonly url: string; readonly appender: Appender; users: number } | null = null

/**
 * The appender of this process.
 * @throws Error where the process has one for another server: their appends would answer each other
 */
export function acquireAppender(url: string): { appender: Appender; release: () => Promise<void> } {
  if (shared !== null && shared.url !== url) throw new Error('a process appends to one EventStoreDB')
  shared ??= { url, appender: new Appender(url), users: 0 }
  const mine = shared
  mine.users++
  return {
    appender: mine.appender,
    async release() {
      if (--mine.users > 0) return
      await mine.appender.close()
      if (mine.users === 0 && shared === mine) shared = null
    },
  }
}
