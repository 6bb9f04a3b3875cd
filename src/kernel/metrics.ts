import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Answer } from './http/app.ts'
import type { EventStore } from './ports/event-store.ts'
import type { ConsumerStatus, Due, Watch } from './status.ts'

/** Connections to the database of one kind. */
export type Connections = { readonly name: string; readonly open: number; readonly idle: number; readonly waiting: number }

/** What is asked when metrics are scraped. */
export type Sources = {
  readonly watch: Watch
  readonly connections: () => readonly Connections[]
  readonly reconnects: () => number
  readonly lostSpans: () => number
  readonly liveClients: () => number
  /** Rows of the journal that this node has not routed yet. */
  readonly liveBehind: () => Promise<number>
}

const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** Metrics of one app, in a registry of its own. */
export class Metrics {
  readonly registry = new Registry()
  readonly #registers = [this.registry]
  readonly #requests = new Histogram({
    name: 'darkroom_http_request_seconds',
    help: 'Answers by method, route and status',
    labelNames: ['method', 'route', 'status'],
    buckets,
    registers: this.#registers,
  })
  readonly #unavailable = new Counter({
    name: 'darkroom_unavailable_total',
    help: 'Answers of 503 by their cause',
    labelNames: ['cause'],
    registers: this.#registers,
  })
  readonly #appends = new Histogram({
    name: 'darkroom_log_append_seconds',
    help: 'Appends to the log: appended, conflict or failed',
    labelNames: ['outcome'],
    buckets,
    registers: this.#registers,
  })
  readonly #consumerFailures = new Counter({
    name: 'darkroom_consumer_failures_total',
    help: 'Batches of a consumer that failed, also where they were tried again',
    labelNames: ['consumer'],
    registers: this.#registers,
  })
  readonly #failures = new Counter({
    name: 'darkroom_metrics_failures_total',
    help: 'Scrapes that could not ask the database or the log',
    registers: this.#registers,
  })

  constructor() {
    collectDefaultMetrics({ register: this.registry })
  }

  /** Notes an answer of HTTP. */
  readonly answered = ({ method, route, status, ms, unavailable }: Answer): void => {
    this.#requests.observe({ method, route, status }, ms / 1_000)
    if (unavailable !== null) {
      // Details of `unavailable` are texts of ours, a handful; up to their first stop they name the cause.
      const { code, message } = unavailable
      this.#unavailable.inc({ cause: code === 'unavailable' ? message.replace(/[.;].*$/s, '') : code })
    }
  }

  /** Notes a consumer's failure. @param key of the consumer */
  readonly failed = (key: string): void => this.#consumerFailures.inc({ consumer: key })

  /** The store, with its appends timed. */
  timed(store: Pick<EventStore, 'read' | 'append'>): Pick<EventStore, 'read' | 'append'> {
    return {
      read: stream => store.read(stream),
      append: async (stream, events, expected) => {
        const done = this.#appends.startTimer()
        try {
          const appended = await store.append(stream, events, expected)
          done({ outcome: 'appended' })
          return appended
        } catch (error) {
          done({ outcome: (error as Error).name === 'WrongRevision' ? 'conflict' : 'failed' })
          throw error
        }
      },
    }
  }

  /** Adds what is looked at when somebody scrapes: what the database knows in one look. */
  watch({ watch, connections, reconnects, lostSpans, liveClients, liveBehind }: Sources): void {
    const known = <T>(look: () => Promise<T>): Promise<T | null> =>
      look().catch(() => {
        this.#failures.inc()
        return null
      })
    this.#consumers('lag_positions', 'Positions that a consumer of the log has not passed', watch, ({ lag }) => lag)
    this.#consumers('paused', '1 where a consumer stands at an event that it cannot project', watch, ({ state }) =>
      state === 'paused' ? 1 : 0,
    )
    this.#consumers('idle', '1 where no process runs a consumer', watch, ({ state }) => (state === 'idle' ? 1 : 0))
    const moved = new Map<string, { position: number; at: number }>()
    this.#consumers(
      'stalled_seconds',
      'For how long a consumer with work left has not moved, as scrapes saw it',
      watch,
      consumer => {
        const { name, position, lag } = consumer
        const last = moved.get(name)
        if (last === undefined || lag === 0 || last.position !== position) moved.set(name, { position, at: performance.now() })
        return Math.round((performance.now() - (moved.get(name)?.at ?? 0)) / 1_000)
      },
    )
    this.#gauge('darkroom_log_position', 'The position of the last event', async set => {
      const at = await known(watch.status)
      if (at !== null) set(at.head)
    })
    this.#gauge('darkroom_log_reconnects', 'How often the connection to the event store was made anew', set => set(reconnects()))
    const part = async (set: Set, of: (away: { seconds: number } | null) => number): Promise<void> => {
      for (const { name, away } of await watch.parts()) set(of(away), { part: name })
    }
    this.#gauge('darkroom_part_up', '1 where a part answers', set => part(set, away => (away === null ? 1 : 0)), ['part'])
    this.#gauge(
      'darkroom_part_away_seconds',
      'For how long a part has not answered',
      set => part(set, away => away?.seconds ?? 0),
      ['part'],
    )
    for (const what of ['mails', 'timers'] as const) {
      const due = async (set: Set, of: (due: Due) => number): Promise<void> => {
        const at = await known(watch.due)
        if (at !== null) set(of(at[what]))
      }
      this.#gauge(`darkroom_${what}_due`, `How many ${what} are due`, set => due(set, ({ count }) => count))
      this.#gauge(`darkroom_${what}_oldest_seconds`, `For how long the oldest of the ${what} has been due`, set =>
        due(set, ({ oldestSeconds }) => oldestSeconds),
      )
    }
    for (const what of ['open', 'idle', 'waiting'] as const)
      this.#gauge(
        `darkroom_database_${what}`,
        what === 'waiting' ? 'Statements that wait for a connection' : `Connections to the database that are ${what}`,
        set => {
          for (const pool of connections()) set(pool[what], { pool: pool.name })
        },
        ['pool'],
      )
    this.#gauge('darkroom_live_clients', 'Live connections of this node', set => set(liveClients()))
    this.#gauge('darkroom_live_behind', 'Rows of the journal that this node has not routed yet', async set => {
      const behind = await known(liveBehind)
      if (behind !== null) set(behind)
    })
    this.#gauge('darkroom_spans_lost', 'Spans that the collector of traces did not take', set => set(lostSpans()))
  }

  #consumers(name: string, help: string, watch: Watch, of: (consumer: ConsumerStatus) => number): void {
    this.#gauge(
      `darkroom_consumer_${name}`,
      help,
      async set => {
        const at = await watch.status().catch(() => null)
        for (const consumer of at?.consumers ?? []) set(of(consumer), { consumer: consumer.name })
      },
      ['consumer'],
    )
  }

  #gauge(name: string, help: string, collect: (set: Set) => void | Promise<void>, labelNames: string[] = []): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers: this.#registers,
      collect() {
        // Labels of what is gone, as of a model that was replaced, are not told for ever.
        if (labelNames.length > 0) this.reset()
        return collect((value, labels = {}) => this.set(labels, value))
      },
    })
  }
}

type Set = (value: number, labels?: Record<string, string>) => void
