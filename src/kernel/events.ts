/** A fact: a name in the past tense and its data, JSON values only. */
export type Event<Type extends string = string, Data extends object = object> = { readonly type: Type; readonly data: Data }

/** What accompanies every event. `at` is the command's clock, ISO 8601 UTC. */
export type Metadata = {
  readonly at: string
  readonly actorId: string | null
  readonly sessionId: string | null
  /** The request or timer that began it all; the same through events, logs and live messages. */
  readonly correlationId: string
  /** The event that made this happen, null where a request did. */
  readonly causationId: string | null
  readonly schemaVersion: number
  /** HMAC of the body of the POST that made the stream, on its first event alone. */
  readonly request?: string
}

/** An event as the log keeps it: personal fields sealed, of the version that it was written in. */
export type StoredEvent = { readonly id: string; readonly type: string; readonly data: object; readonly metadata: Metadata }

type Place = {
  readonly id: string
  /** Without the namespace. */
  readonly stream: string
  /** Contiguous in its stream, from 0. */
  readonly revision: number
  /** Comparable across the log, with gaps; below 2^53 (an EventStoreDB position is a byte offset: 9 PB). */
  readonly position: number
  readonly metadata: Metadata
}

/** An event as the log gave it back, still sealed. */
export type LoggedEvent = StoredEvent & Place

/** An event as readers see it: opened, upcast; personal fields are null after an erasure. */
export type Recorded<E extends Event> = E extends Event ? E & Place & { readonly at: string } : never

type FieldOf<D> = Extract<keyof D, string>

/** What the kernel knows of one type of event; call it to make one. */
export interface EventType<Type extends string = string, Data extends object = object> {
  (data: Data): Event<Type, Data>
  readonly type: Type
  /** The version that is written now, from 1. */
  readonly version: number
  /** Field → the field that holds the id of the account whose words these are. */
  readonly personal: Readonly<Record<string, string>>
  /** `upcasts[n]` turns data of version n into version n + 1. */
  readonly upcasts: Readonly<Record<number, (data: Record<string, unknown>) => Record<string, unknown>>>
}

/**
 * Declares a type of event. Fields named in `personal` are sealed with their subject's key before they reach the log and
 * are null once that key is destroyed: their types must allow null. A new meaning is a new type; a new form is the next
 * version with an upcast from the last.
 */
export function eventType<Type extends string, Data extends object>(
  type: Type,
  options: {
    personal?: { readonly [Field in FieldOf<Data>]?: FieldOf<Data> }
    version?: number
    upcasts?: EventType['upcasts']
  } = {},
): EventType<Type, Data> {
  const make = (data: Data): Event<Type, Data> => ({ type, data })
  return Object.assign(make, {
    type,
    version: options.version ?? 1,
    personal: (options.personal ?? {}) as Readonly<Record<string, string>>,
    upcasts: options.upcasts ?? {},
  })
}

/** The event that a type makes. */
export type EventOf<T> = T extends EventType<infer Type, infer Data> ? Event<Type, Data> : never

/** The union of events that a list of types makes. */
export type EventsOf<List extends readonly EventType<never, never>[] | readonly unknown[]> = EventOf<List[number]>
