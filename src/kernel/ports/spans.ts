/** A place in a trace, as a W3C `traceparent` tells it. */
export type Place = { readonly traceId: string; readonly spanId: string; readonly sampled: boolean }

/** A piece of work that is over. Attributes are names and numbers of the house: never what a person wrote, ids of people, addresses or tokens. */
export type FinishedSpan = {
  readonly place: Place
  readonly parentId: string | null
  readonly name: string
  readonly kind: 'internal' | 'server' | 'client' | 'producer' | 'consumer'
  /** Milliseconds since 1970. */
  readonly start: number
  readonly end: number
  readonly attributes: Readonly<Record<string, string | number>>
  readonly failed: boolean
}

/** Where spans go. */
export interface Spans {
  /** Whether a trace is told, the same in every process. @param asked by the caller whose trace it is; null where it began here */
  samples(traceId: string, asked: boolean | null): boolean
  /** Takes a span of a sampled trace: at once, and never fails. What does not fit its queue is dropped. */
  take(span: FinishedSpan): void
  /** How many were dropped or could not be delivered. */
  readonly lost: number
  /** Delivers what it has, within seconds. */
  close(): Promise<void>
}
