import { BACKWARDS, END, EventStoreDBClient, type Position, type StreamingRead, StreamNotFoundError } from '@eventstore/db-client'
import { EventStoreUnavailable, isNotLeader, isTransient } from './errors.ts'
import { toNumber } from './records.ts'

/** What the adapter waits for, milliseconds. */
export type Patience = {
  /** For one answer: the client's calls have no deadline of their own, against a frozen server they hang for 14 s and more. */
  readonly attempt: number
  /** For one answer to a subscription. Longer, for nobody waits: giving up a server that is busy would make it busier. */
  readonly reader: number
  /** For an append or a read with all its repeats; then it is rejected as transient. */
  readonly total: number
  /** Between two looks at whether a silent subscription is behind. */
  readonly look: number
  /** For the end of what a replaced client has under way. Longer than its keepalive takes to give a frozen server up (20 s). */
  readonly settle: number
}

export const patience: Patience = { attempt: 2_000, reader: 5_000, total: 4_000, look: 500, settle: 30_000 }

/** A promise's answer, or a transient error after so many milliseconds. */
export async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new EventStoreUnavailable('EventStoreDB did not answer in time')), Math.max(0, milliseconds))
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** A finite read to its end. It is ended where nothing comes for so long. */
export async function collect<T>(reading: StreamingRead<T>, milliseconds: number): Promise<T[]> {
  // The client emits errors also when nobody reads any more; one without a listener would end the process.
  reading.on('error', () => {})
  const late = (): unknown => reading.destroy(new EventStoreUnavailable('EventStoreDB did not answer in time'))
  const timer = setTimeout(late, Math.max(0, milliseconds))
  const items: T[] = []
  let complete = false
  try {
    for await (const item of reading) {
      timer.refresh()
      items.push(item)
    }
    complete = true
    return items
  } finally {
    clearTimeout(timer)
    // A call that never came about cannot be cancelled: its error is the one thrown above.
    if (!complete) reading.cancel().catch(() => {})
  }
}

/**
 * How far subscriptions may have come: behind the last event that a read shows there may be what a new leader wrote of itself ($epoch-information), which only its
 * stream shows.
 */
export async function readEnd(client: EventStoreDBClient, milliseconds: number): Promise<number> {
  const options = { direction: BACKWARDS, fromRevision: END, maxCount: 1, resolveLinkTos: false, requiresLeader: true } as const
  const [head, epochs] = await Promise.all([
    readHead(client, milliseconds),
    collect(client.readStream('$epoch-information', options), milliseconds).catch(error => {
      if (error instanceof StreamNotFoundError) return []
      throw error
    }),
  ])
  const last = epochs[0]?.event?.position?.commit ?? epochs[0]?.commitPosition ?? 0n
  return Math.max(head === null ? 0 : toNumber(head.commit), toNumber(last))
}

/** The place of the log's last event that a read shows, from the leader; null in an empty log. Events of the server itself count. */
export async function readHead(client: EventStoreDBClient, milliseconds: number): Promise<Position | null> {
  const options = { direction: BACKWARDS, fromPosition: END, maxCount: 1, resolveLinkTos: false, requiresLeader: true } as const
  const [last] = await collect(client.readAll(options), milliseconds)
  return last?.event?.position ?? null
}

/**
 * A client whose own mending cannot end the process. Where a call fails it looks, in a promise that nobody has, at the connection that it is
 * making meanwhile for another call; that one's caller hears of it if it cannot be made, and here it is nothing to mend.
 */
export function connect(url: string): EventStoreDBClient {
  const client = EventStoreDBClient.connectionString(url)
  const mending = client as unknown as { handleError: (call: unknown, error: Error) => Promise<void> }
  const { handleError } = mending
  mending.handleError = (call, error) => handleError.call(client, call, error).catch(() => {})
  return client
}

/** A connection that was silent for so long is asked again before it is used, milliseconds. */
const stale = 5_000

/**
 * One client that has answered from the leader just now, replaced when it fails. A client is not trusted to mend itself: one whose discovery
 * failed while it appended refuses every later append.
 */
export class Connection {
  readonly #url: string
  readonly #settle: (client: EventStoreDBClient) => Promise<void>
  #client: EventStoreDBClient | null = null
  #heard = 0
  #connecting: Promise<EventStoreDBClient> | null = null
  #settling: Promise<void> = Promise.resolve()
  #replaced = 0

  /** @param settle ends what a replaced client still has under way; the next one is made after it */
  constructor(url: string, settle: (client: EventStoreDBClient) => Promise<void>) {
    // Of one that comes twice the last counts. With `false`, wrong revisions would be returned as if they were results; and discovery asks node by
    // node, 5 s a node unless told otherwise, so that a frozen one would use up all patience.
    const [nodes, ...own] = url.split('?')
    this.#url = `${nodes}?${['gossipTimeout=1', ...own, 'throwOnAppendFailure=true'].join('&')}`
    this.#settle = settle
  }

  /** How often a client had to be replaced. */
  get replaced(): number {
    return this.#replaced
  }

  /** The client of now, or a new one as soon as it has answered, within so many milliseconds. */
  async client(milliseconds: number): Promise<EventStoreDBClient> {
    if (this.#client !== null && performance.now() - this.#heard < stale) return this.#client
    this.#connecting ??= this.#prove(milliseconds).finally(() => {
      this.#connecting = null
    })
    return within(milliseconds, this.#connecting)
  }

  /** This client had an answer. */
  heard(client: EventStoreDBClient): void {
    if (this.#client === client) this.#heard = performance.now()
  }

  /** Something failed on this client: the next call gets another one, except where it was only sent on to the leader. */
  failed(client: EventStoreDBClient, error: unknown): void {
    if (this.#client === client && isTransient(error) && !isNotLeader(error)) this.#replace(client)
  }

  async close(): Promise<void> {
    await this.#connecting?.catch(() => {})
    if (this.#client !== null) this.#replace(this.#client)
    await this.#settling
  }

  #replace(client: EventStoreDBClient): void {
    this.#client = null
    this.#replaced++
    this.#settling = this.#settle(client)
  }

  async #prove(milliseconds: number): Promise<EventStoreDBClient> {
    await this.#settling
    const client = this.#client ?? connect(this.#url)
    this.#client = client
    try {
      await readHead(client, milliseconds).catch(error => {
        if (!isNotLeader(error)) throw error
        return readHead(client, milliseconds)
      })
      this.heard(client)
      return client
    } catch (error) {
      if (this.#client === client) this.#replace(client)
      throw error
    }
  }
}
