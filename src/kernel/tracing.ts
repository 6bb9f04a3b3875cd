import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash, randomBytes } from 'node:crypto'
import type { LoggedEvent } from './events.ts'
import type { Execute } from './execute.ts'
import type { JournalRow } from './live/journal.ts'
import { type EventStore, WrongRevision } from './ports/event-store.ts'
import type { FinishedSpan, Place, Spans } from './ports/spans.ts'
import { Problem } from './problem.ts'

/** Spans that one batch of a consumer may have, and those of one live message on a node. */
const mostInBatch = 100
const mostDeliveries = 20
/** Milliseconds after which an event that is projected is no news any more: models that catch up would tell millions of spans. */
const newsMs = 5 * 60_000

const traceparentForm = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/** The place that a `traceparent` names (W3C Trace Context); null for anything else. */
export function placeIn(traceparent: string | null | undefined): Place | null {
  const [, traceId, spanId, flags, more] = traceparentForm.exec(traceparent ?? '') ?? []
  if (traceId === undefined || spanId === undefined || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return null
  if (traceparent!.startsWith('ff') || (traceparent!.startsWith('00') && more !== undefined)) return null
  return { traceId, spanId, sampled: (Number.parseInt(flags!, 16) & 1) === 1 }
}

export const traceparentOf = ({ traceId, spanId, sampled }: Place): string => `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`

/** The correlation id of a request that came with a `traceparent`: its trace, and whether that is sampled. */
export const correlationIn = ({ traceId, sampled }: Place): string => `${traceId}-${sampled ? '01' : '00'}`

const newSpanId = (): string => randomBytes(8).toString('hex')

/** Of the append that wrote the event: the end of its id, which is random. */
const spanIdOf = (eventId: string): string => eventId.replaceAll('-', '').slice(-16)

type Appended = Pick<LoggedEvent, 'id' | 'type' | 'position' | 'metadata'>

/** Marks a row of the journal with the place of the span that made it. */
export type Mark = (row: JournalRow) => JournalRow

type Parts = Pick<FinishedSpan, 'name' | 'kind'> & {
  /** The place under which it stands; without one what is under way here. */
  readonly parent?: Place | null
  /** Its trace, where nothing is under way: that of the correlation id. The caller's span in it, where there is one. */
  readonly correlationId?: string
  readonly callerId?: string | null
  readonly spanId?: string
  readonly attributes?: FinishedSpan['attributes']
}

/** What is under way: attributes and the name may be added until it is over. */
export type Span = { name: string; readonly attributes: Record<string, string | number>; readonly place: Place; failed: boolean }

/**
 * Makes traces that follow a command from its request to the live message. What crosses processes needs no new field: the trace id comes from the
 * correlation id that every event carries, and the span of an append from the event's id.
 */
export class Tracing {
  readonly spans: Spans
  readonly #current = new AsyncLocalStorage<Place>()
  readonly #deliveries = new WeakMap<JournalRow, number>()

  constructor(spans: Spans) {
    this.spans = spans
  }

  /** The place of what is under way here; null outside of everything. */
  get current(): Place | null {
    return this.#current.getStore() ?? null
  }

  /** The same as a header or a row carries it; null where no trace is told. */
  get traceparent(): string | null {
    const { current } = this
    return current?.sampled ? traceparentOf(current) : null
  }

  /** Does the work within a span. */
  async run<T>(parts: Parts, work: (span: Span) => Promise<T>): Promise<T> {
    const parent = parts.parent ?? this.current
    const { traceId, sampled } = parent ?? this.#traceOf(parts.correlationId ?? newSpanId() + newSpanId())
    const span: Span = {
      name: parts.name,
      attributes: { ...parts.attributes },
      place: { traceId, sampled, spanId: parts.spanId ?? newSpanId() },
      failed: false,
    }
    const over = this.#begin(span, parts.kind, parent?.spanId ?? parts.callerId ?? null)
    try {
      return await this.#current.run(span.place, () => work(span))
    } catch (error) {
      noteError(span, error)
      throw error
    } finally {
      over()
    }
  }

  /** `execute` with a span a command. */
  execute(execute: Execute): Execute {
    return (decider, stream, command, actor, options) =>
      this.run({ name: `execute ${categoryOf(stream)}`, kind: 'internal', correlationId: actor.correlationId }, async span => {
        const outcome = await execute(decider, stream, command, actor, options)
        span.attributes['darkroom.events'] = outcome.events.length
        return outcome
      })
  }

  /** A store whose appends have a span for each event, at the place that its readers find by the event alone. */
  store(store: Pick<EventStore, 'read' | 'append'>): Pick<EventStore, 'read' | 'append'> {
    return {
      read: stream => store.read(stream),
      append: async (stream, events, expected) => {
        const spans = events.map(({ id, type, metadata: { correlationId } }) => {
          const { traceId, sampled } = this.#traceOf(correlationId)
          const span: Span = {
            name: `append ${type}`,
            attributes: { 'darkroom.event.id': id, 'darkroom.event.type': type },
            place: { traceId, sampled, spanId: spanIdOf(id) },
            failed: false,
          }
          return { span, over: this.#begin(span, 'producer', this.current?.traceId === traceId ? this.current.spanId : null) }
        })
        try {
          const appended = await store.append(stream, events, expected)
          for (const { span } of spans) span.attributes['darkroom.position'] = appended.position
          return appended
        } catch (error) {
          for (const { span } of spans) noteError(span, error)
          throw error
        } finally {
          for (const { over } of spans) over()
        }
      },
    }
  }

  /** Reacts to an event, in its trace. */
  react<T>(name: string, event: Appended, work: () => Promise<T>): Promise<T> {
    const attributes = { 'darkroom.event.type': event.type, 'darkroom.position': event.position }
    return this.run({ name: `react ${name}`, kind: 'consumer', parent: this.#placeOf(event), attributes }, work)
  }

  /**
   * Projects a batch, with a span in the trace of each event, for batches mix the commands of many.
   * @param work is given how a row is marked with the place of its event's span
   */
  async project<T>(name: string, events: readonly LoggedEvent[], work: (mark: Mark) => Promise<T>): Promise<T> {
    const since = Date.now() - newsMs
    const spans = new Map<number, { span: Span; over: () => void }>()
    for (const event of events.slice(-mostInBatch)) {
      const parent = this.#placeOf(event)
      if (!parent.sampled || Date.parse(event.metadata.at) < since) continue
      const attributes = {
        'darkroom.event.type': event.type,
        'darkroom.position': event.position,
        'darkroom.batch': events.length,
      }
      const span: Span = { name: `project ${name}`, attributes, place: { ...parent, spanId: newSpanId() }, failed: false }
      spans.set(event.position, { span, over: this.#begin(span, 'consumer', parent.spanId) })
    }
    const mark: Mark = row => {
      const place = spans.get(row.position)?.span.place
      return place === undefined ? row : { ...row, traceparent: traceparentOf(place) }
    }
    try {
      return await work(mark)
    } catch (error) {
      for (const { span } of spans.values()) noteError(span, error)
      throw error
    } finally {
      for (const { over } of spans.values()) over()
    }
  }

  /** A row was sent to a live client, after work on it since then (milliseconds since 1970). */
  delivered(row: JournalRow, since: number): void {
    const parent = placeIn(row.traceparent)
    const before = this.#deliveries.get(row) ?? 0
    if (parent === null || before >= mostDeliveries) return
    this.#deliveries.set(row, before + 1)
    const span: Span = {
      name: `deliver ${row.type}`,
      attributes: { 'darkroom.live.seq': row.seq },
      place: { ...parent, spanId: newSpanId() },
      failed: false,
    }
    this.#begin(span, 'consumer', parent.spanId, since)()
  }

  /** The place at which an event was appended. */
  #placeOf({ id, metadata }: Appended): Place {
    return { ...this.#traceOf(metadata.correlationId), spanId: spanIdOf(id) }
  }

  /** Begins a span; the answer ends it. */
  #begin(span: Span, kind: FinishedSpan['kind'], parentId: string | null, start = Date.now()): () => void {
    const began = performance.now() - (Date.now() - start)
    return () => {
      const { place, name, attributes, failed } = span
      if (place.sampled)
        this.spans.take({ place, parentId, name, kind, start, end: start + performance.now() - began, attributes, failed })
    }
  }

  /** The trace of a correlation id: the one that it was made of, as a UUID is one, or a hash. */
  #traceOf(correlationId: string): Pick<Place, 'traceId' | 'sampled'> {
    const [, given, flags] = /^([0-9a-f]{32})-(0[01])$/.exec(correlationId) ?? []
    if (given !== undefined) return { traceId: given, sampled: this.spans.samples(given, flags === '01') }
    const plain = correlationId.replaceAll('-', '')
    const traceId =
      /^[0-9a-f]{32}$/.test(plain) && /[^0]/.test(plain)
        ? plain
        : createHash('sha256').update(correlationId).digest('hex').slice(0, 32)
    return { traceId, sampled: this.spans.samples(traceId, null) }
  }
}

/** `like` of `like-<ids>`: names of spans are few, and ids of people are not told. */
const categoryOf = (stream: string): string => stream.slice(0, Math.max(stream.indexOf('-'), 0)) || 'stream'

/** By its kind alone: messages may repeat what somebody sent. A refusal is no failure, nor is a conflict, after which it is decided again. */
function noteError(span: Span, error: unknown): void {
  const refused = error instanceof WrongRevision || (error instanceof Problem && error.status < 500)
  span.attributes['error.type'] = error instanceof Problem ? error.code : error instanceof Error ? error.name : typeof error
  span.failed = !refused
}
