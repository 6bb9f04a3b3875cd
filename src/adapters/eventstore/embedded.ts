import type pg from 'pg'
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
import { unavailable } from '../../kernel/problem.ts'
import { answerWithin, isTransient } from '../postgres/database.ts'
import { Wakeups, type Woken } from './wakeups.ts'

/**
 * The log's tables and its one way in. Positions are given out under a transaction-level advisory lock, in commit order, so that a reader
 * that orders by position never sees one appear behind it.
 */
export const logSchema = `
create schema log;
create table log.events (
  position bigint primary key,
  stream text collate "C" not null,
  revision int not null,
  id uuid not null,
  type text collate "C" not null,
  data json not null,
  metadata json not null,
  unique (stream, revision)
);
-- Appends many at once: for each stream (no stream twice in one call) its expected revision and how many of the events are its own.
-- Answers a row a stream: the revision that it had, and the last position given out, null where the expectation failed.
create function log.append(streams text[], expected int[], counts int[], ids uuid[], types text[], data json[], metadata json[])
returns table (ordinal bigint, had int, last_position bigint) language plpgsql as $$
#variable_conflict use_column
begin
  perform pg_advisory_xact_lock(hashtext('darkroom.log'));
  return query
    with asked as (
      select a.*, sum(a.n) over (order by a.i) - a.n as first,
             coalesce((select e.revision from log.events e where e.stream = a.stream order by e.revision desc limit 1), -1) as had
      from unnest(streams, expected, counts) with ordinality as a (stream, expected, n, i)
    ), allowed as (
      select a.*, (select coalesce(max(e.position), 0) from log.events e) + sum(a.n) over (order by a.i) as last
      from asked a where a.had = a.expected
    ), written as (
      insert into log.events (position, stream, revision, id, type, data, metadata)
      select a.last - a.n + e.i - a.first, a.stream, a.expected + e.i - a.first, e.id, e.type, e.data, e.metadata
      from allowed a
      join unnest(ids, types, data, metadata) with ordinality as e (id, type, data, metadata, i) on e.i > a.first and e.i <= a.first + a.n
    )
    select a.i, a.had, w.last::bigint from asked a left join allowed w on w.i = a.i order by a.i;
end $$`

/** An event's JSON, written once. */
type Text = { readonly data: string; readonly metadata: string }

type Waiting = {
  readonly stream: string
  readonly events: readonly StoredEvent[]
  readonly texts: readonly Text[]
  readonly expected: number
  readonly resolve: (appended: Appended) => void
  readonly reject: (error: unknown) => void
}

type Row = {
  position: number
  stream: string
  revision: number
  id: string
  type: string
  data: object
  metadata: LoggedEvent['metadata']
}

const batchEvents = 500
const queueLimit = 20_000
const sliceEvents = 1_000
/** What this process has appended last is handed to its readers from memory. */
const recentEvents = 2_000

type Recent = Omit<Row, 'data' | 'metadata'> & Text

/** The event log in Postgres: one connection commits many waiting appends together (group commit). */
export class EmbeddedEventStore implements EventStore {
  readonly maxEventBytes = 1_000_000
  readonly positionsPerEvent = 1
  readonly #pool: pg.Pool
  readonly #prefix: string
  readonly #wakeups: Wakeups
  readonly #waiting: Waiting[] = []
  /** Without a gap between their positions. */
  #recent: Recent[] = []
  #committing: Promise<void> | null = null
  #closed = false

  /** @param namespace stands before every stream's name, so that several can share one log */
  constructor(pool: pg.Pool, namespace = '', onError: (error: Error) => void = () => {}) {
    this.#pool = pool
    this.#prefix = namespace
    this.#wakeups = new Wakeups(pool, onError)
  }

  append(stream: string, events: readonly StoredEvent[], expected: number): Promise<Appended> {
    const texts = events.map(({ data, metadata }) => ({ data: JSON.stringify(data), metadata: JSON.stringify(metadata) }))
    for (const [index, { data, metadata }] of texts.entries()) {
      const bytes = Buffer.byteLength(data) + Buffer.byteLength(metadata)
      if (bytes > this.maxEventBytes)
        return Promise.reject(
          new EventTooLarge(`${events[index]!.type} has ${bytes} bytes; the log takes ${this.maxEventBytes}.`),
        )
    }
    if (this.#closed) return Promise.reject(new Error('the log is closed'))
    if (this.#waiting.length >= queueLimit)
      return Promise.reject(unavailable('Too much is being written at this moment; try again.'))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ stream: this.#prefix + stream, events, texts, expected, resolve, reject })
      this.#committing ??= this.#commit()
    })
  }

  async read(stream: string): Promise<readonly LoggedEvent[]> {
    const { rows } = await this.#pool.query<Row>({
      ...answerWithin,
      name: 'log.read',
      text: 'select position, stream, revision, id, type, data, metadata from log.events where stream = $1 order by revision',
      values: [this.#prefix + stream],
    })
    return rows.map(row => this.#logged(row))
  }

  async *subscribe({ after, types, signal }: Subscription): AsyncIterable<Slice> {
    let passed = after
    let failures = 0
    let woken: Woken = 'polled'
    let heard = -1
    while (!signal.aborted) {
      const wake = this.#wakeups.next(signal)
      let slice: Slice
      try {
        // Where another process may have appended since the log was read last, memory does not know all.
        const recent = woken === 'appended' && heard === this.#wakeups.heard ? this.#remembered(passed, types) : null
        if (recent === null) {
          heard = this.#wakeups.heard
          slice = await this.#slice(passed, types)
        } else slice = recent
        failures = 0
      } catch (error) {
        if (signal.aborted) return
        if (!isTransient(error)) throw error
        failures++
        await this.#wakeups.pause(Math.min(100 * 2 ** failures, 5_000), signal)
        continue
      }
      passed = slice.passed
      yield slice
      if (slice.caughtUp) woken = await wake
    }
  }

  async head(): Promise<number> {
    const { rows } = await this.#pool.query<{ head: number }>({
      ...answerWithin,
      text: 'select coalesce(max(position), 0) as head from log.events',
    })
    return rows[0]!.head
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#committing
    await this.#wakeups.close()
  }

  /** Commits what waits, batch after batch, until nothing does. What arrives during one commit goes out with the next. */
  async #commit(): Promise<void> {
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const batch = this.#take()
      try {
        await this.#write(batch)
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    // In the same turn as the last look at the queue: an append that comes later starts the next round.
    this.#committing = null
  }

  /** The appends of the next commit, in their order; the second of one stream waits for the next, for it depends on the first. */
  #take(): Waiting[] {
    const batch: Waiting[] = []
    const later: Waiting[] = []
    const streams = new Set<string>()
    let events = 0
    for (const append of this.#waiting) {
      if (events >= batchEvents || streams.has(append.stream)) later.push(append)
      else {
        batch.push(append)
        events += append.events.length
      }
      streams.add(append.stream)
    }
    this.#waiting.splice(0, this.#waiting.length, ...later)
    return batch
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const events = batch.flatMap(append => append.events)
    const texts = batch.flatMap(append => append.texts)
    const { rows } = await this.#pool.query<{ had: number; last_position: number | null }>({
      ...answerWithin,
      name: 'log.append',
      text: 'select had, last_position from log.append($1, $2, $3, $4, $5, $6::text[]::json[], $7::text[]::json[]) order by ordinal',
      values: [
        batch.map(append => append.stream),
        batch.map(append => append.expected),
        batch.map(append => append.events.length),
        events.map(event => event.id),
        events.map(event => event.type),
        texts.map(({ data }) => data),
        texts.map(({ metadata }) => metadata),
      ],
    })
    this.#remember(
      batch.filter((_, index) => rows[index]!.last_position !== null),
      rows.flatMap(row => row.last_position ?? []),
    )
    this.#wakeups.appended()
    for (const [index, append] of batch.entries()) {
      const { last_position: position } = rows[index]!
      if (position !== null) append.resolve({ revision: append.expected + append.events.length, position })
      else this.#repeated(append).then(append.resolve, append.reject)
    }
  }

  #remember(appended: readonly Waiting[], positions: readonly number[]): void {
    for (const [at, { stream, events, texts, expected }] of appended.entries()) {
      for (const [index, { id, type }] of events.entries()) {
        const position = positions[at]! - events.length + 1 + index
        if (position !== (this.#recent.at(-1)?.position ?? 0) + 1) this.#recent = []
        this.#recent.push({ position, stream, revision: expected + 1 + index, id, type, ...texts[index]! })
      }
    }
    if (this.#recent.length > 2 * recentEvents) this.#recent = this.#recent.slice(-recentEvents)
  }

  /** The next stretch of the log, where all of it was appended here just now. */
  #remembered(after: number, types: readonly string[] | undefined): Slice | null {
    const [first] = this.#recent
    if (first === undefined || first.position > after + 1) return null
    const from = after + 1 - first.position
    const stretch = this.#recent.slice(from, from + sliceEvents)
    const events = (types === undefined ? stretch : stretch.filter(({ type }) => types.includes(type))).map(event =>
      this.#logged({ ...event, data: JSON.parse(event.data), metadata: JSON.parse(event.metadata) }),
    )
    return { events, passed: stretch.at(-1)?.position ?? after, caughtUp: from + sliceEvents >= this.#recent.length }
  }

  /** Where the expectation failed: was it this very append, answered but never heard? */
  async #repeated({ stream, events, expected }: Waiting): Promise<Appended> {
    const { rows } = await this.#pool.query<{ id: string; position: number }>({
      ...answerWithin,
      name: 'log.repeated',
      text: 'select id, position from log.events where stream = $1 and revision > $2 and revision <= $3 order by revision',
      values: [stream, expected, expected + events.length],
    })
    if (rows.length !== events.length || rows.some((row, index) => row.id !== events[index]!.id)) {
      throw new WrongRevision(stream.slice(this.#prefix.length), expected === noStream ? noStream : expected)
    }
    return { revision: expected + events.length, position: rows.at(-1)!.position }
  }

  /** The next stretch of the log, without a namespace only of streams that have none. The head is read in the same statement, so that what does not match counts as passed. */
  async #slice(after: number, types: readonly string[] | undefined): Promise<Slice> {
    const { rows } = await this.#pool.query<Row & { head: number }>({
      name: types === undefined ? 'log.slice' : 'log.slice.types',
      text: `
        with head as (select coalesce(max(position), 0) as head from log.events)
        select head, e.* from head left join lateral (
          select position, stream, revision, id, type, data, metadata from log.events
          where position > $1 and position <= head.head ${types === undefined ? '' : 'and type = any($4)'}
            and case $2 when '' then stream !~ '^[^-]*_' else starts_with(stream, $2) end
          order by position limit $3
        ) e on true order by e.position`,
      values: types === undefined ? [after, this.#prefix, sliceEvents] : [after, this.#prefix, sliceEvents, types],
    })
    const events = rows.filter(row => row.position !== null).map(row => this.#logged(row))
    const full = events.length === sliceEvents
    return { events, passed: full ? events.at(-1)!.position : Math.max(after, rows[0]!.head), caughtUp: !full }
  }

  #logged({ position, stream, revision, id, type, data, metadata }: Row): LoggedEvent {
    return { position, stream: stream.slice(this.#prefix.length), revision, id, type, data, metadata }
  }
}
