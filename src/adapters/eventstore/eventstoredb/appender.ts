import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises'
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
 * Appends that are answered together: some more than wait on a busy server, so that few are left for the next group (15 and 60 made as many likes). And the
 * milliseconds for which those that have ended wait for the last of them, at most: several times what a group takes, for one that is repeated must not hold up others.
 */
const groupAppends = 4 * inFlight
const groupMs = 25
/**
 * Milliseconds; the client makes a year of it. It sends the time at which that is over by this machine's clock, and the server compares it with its own: a node
 * whose clock is behind by more could append nothing. The server has its own limit, and we wait no longer than our patience.
 */
const serverDecides = Number.POSITIVE_INFINITY

/** An append that the client has, and its slot. */
type Sent = { readonly client: EventStoreDBClient; readonly answer: Promise<AppendResult>; readonly release: () => void }

/**
 * Appends in groups: what comes while a group is under way is the next one, and a group is answered at once. Answered one by one, requests trickle back
 * in and their appends trickle out: one that comes alone costs the server three times what each of thirty costs, and our own queries and batches of
 * projections are as many more (measured, docs/performance.md).
 *
 * Each is repeated with the same ids at the same revision while their outcome is unknown. The client keeps what it waits for in a map that
 * all clients of the process share: an error of one rejects the appends of all, and an answer that comes after that ends the process. So one
 * client appends, it does nothing else, and the next one is made only when nothing of it is left.
 */
export class Appender {
  readonly #connection: Connection
  readonly #waiting: (() => Promise<() => void>)[] = []
  #grouping = false
  readonly #sent = new Set<Sent>()
  readonly #queue: (() => void)[] = []
  #free = inFlight

  /** @param settle milliseconds for the end of what a replaced client has under way */
  constructor(url: string, settle: number) {
    this.#connection = new Connection(url, client => this.#settle(client, settle))
  }

  /** @throws the client's errors, EventStoreUnavailable after `total` milliseconds without an answer */
  append(
    stream: string,
    events: EventData[],
    expectedRevision: AppendExpectedRevision,
    patience: Patience,
  ): Promise<AppendResult> {
    if (this.#waiting.length + this.#queue.length >= queueLimit)
      return Promise.reject(new EventStoreUnavailable('too many appends are waiting'))
    const deadline = performance.now() + patience.total
    return new Promise((resolve, reject) => {
      this.#waiting.push(() =>
        this.#repeated(stream, events, expectedRevision, patience, deadline).then(
          result => () => resolve(result),
          error => () => reject(error),
        ),
      )
      if (!this.#grouping) void this.#groups()
    })
  }

  /** Never rejects: each append is told its own outcome. */
  async #groups(): Promise<void> {
    this.#grouping = true
    // What comes in one turn belongs together.
    await turn()
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, groupAppends).map(send => send())
      let answers: (() => void)[] | null = []
      for (const sent of group) sent.then(answer => (answers === null ? answer() : answers.push(answer)))
      await within(groupMs, Promise.all(group)).catch(() => {})
      const ended = answers
      answers = null
      for (const answer of ended) answer()
    }
    this.#grouping = false
  }

  async #repeated(
    stream: string,
    events: EventData[],
    expectedRevision: AppendExpectedRevision,
    patience: Patience,
    deadline: number,
  ): Promise<AppendResult> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#slot(deadline)
        const until = Math.min(performance.now() + patience.attempt, deadline)
        return await this.#attempt(until, attempt, client =>
          // Without credentials: with them the client makes a call for each append. To the leader: a follower that has none waits 4.5 s.
          client.appendToStream(stream, events, { expectedRevision, requiresLeader: true, deadline: serverDecides }),
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
    send: (client: EventStoreDBClient) => Promise<AppendResult>,
  ): Promise<AppendResult> {
    let client: EventStoreDBClient
    let left: number
    try {
      client = await this.#connection.client(until - performance.now())
      left = until - performance.now()
      if (left <= 0) throw new EventStoreUnavailable('EventStoreDB did not answer in time')
    } catch (error) {
      this.#release()
      throw error
    }
    const answer = send(client)
    const sent: Sent = {
      client,
      answer,
      release: () => {
        if (this.#sent.delete(sent)) this.#release()
      },
    }
    this.#sent.add(sent)
    // A server that answers "busy" is there, and a new client would ask the same one; if it says so twice, perhaps another leads.
    const failed = (error: unknown): void => {
      if (!isAnswer(error) || attempt > 1) this.#connection.failed(client, error)
    }
    // First of all, so that whoever gets the slot does not get the failed client with it.
    answer.then(
      () => {
        this.#connection.heard(client)
        sent.release()
      },
      error => {
        failed(error)
        sent.release()
      },
    )
    return within(left, answer).catch(error => {
      failed(error)
      throw error
    })
  }

  /** Waits until nothing is left of a replaced client: not its call, and nothing that had not reached that yet and may open another. */
  async #settle(client: EventStoreDBClient, milliseconds: number): Promise<void> {
    const left = (): Sent[] => [...this.#sent].filter(sent => sent.client === client)
    const settled = async (): Promise<void> => {
      await client.dispose()
      await Promise.allSettled(left().map(({ answer }) => answer))
      await client.dispose()
    }
    // A call that the server has ended without an error never says so: what waits for it waits for ever, and nothing can come from there.
    await within(milliseconds, settled()).catch(() => {})
    for (const { release } of left()) release()
  }

  async #slot(deadline: number): Promise<void> {
    // While it waited for its group. With no time left the client would be taken for one that does not answer.
    if (performance.now() >= deadline) throw new EventStoreUnavailable('EventStoreDB did not answer in time')
    if (this.#free > 0) {
      this.#free--
      return
    }
    await new Promise<void>((resolve, reject) => {
      const next = (): void => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(
        () => {
          this.#queue.splice(this.#queue.indexOf(next), 1)
          reject(new EventStoreUnavailable('EventStoreDB did not answer in time'))
        },
        Math.max(0, deadline - performance.now()),
      )
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
export function acquireAppender(url: string, settle: number): { appender: Appender; release: () => Promise<void> } {
  if (shared !== null && shared.url !== url) throw new Error('a process appends to one EventStoreDB')
  shared ??= { url, appender: new Appender(url, settle), users: 0 }
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
