import type { LoggedEvent, StoredEvent } from '../events.ts'

/** The expected revision of a stream that must not exist yet. */
export const noStream = -1

export type Appended = { readonly revision: number; readonly position: number }

/** A stretch of the log, in its order: what matched, and how far the log was looked through. */
export type Slice = {
  readonly events: readonly LoggedEvent[]
  /** Every match at or before this position has been delivered with this slice or before it. */
  readonly passed: number
  /** True where nothing more was waiting when this slice was read. */
  readonly caughtUp: boolean
}

export type Subscription = {
  /** Exclusive: the position of the last event that the reader has; 0 for the beginning. */
  readonly after: number
  /** The types wanted; all where it is absent. */
  readonly types?: readonly string[]
  readonly signal: AbortSignal
}

/** The event log: streams with contiguous revisions, and all of it in one order. Both adapters pass one contract suite. */
export interface EventStore {
  /** The largest event accepted, bytes of data and metadata together. */
  readonly maxEventBytes: number
  /** About how many positions an event takes: 1 where they count events, its bytes where they are offsets. */
  readonly positionsPerEvent: number
  /** How often it had to connect anew, where it has a connection of its own. */
  readonly reconnects?: number
  /**
   * Appends all or none, durable when it returns. A retry of the same event ids at the same revision answers as the first time.
   * @param expected the revision of the stream's last event, or `noStream`
   * @throws WrongRevision, EventTooLarge, or an error after which the outcome is unknown
   */
  append(stream: string, events: readonly StoredEvent[], expected: number): Promise<Appended>
  /** All events of a stream, read from the leader; empty where there is none. */
  read(stream: string): Promise<readonly LoggedEvent[]>
  /** Follows the log from `after` on, for ever; comes back by itself after a disconnect; ends when the signal aborts. */
  subscribe(subscription: Subscription): AsyncIterable<Slice>
  /** The position of the last event, 0 in an empty log. */
  head(): Promise<number>
  /** How far a reader may have come, where that may lie behind the last event: over what the log keeps for itself. */
  end?(): Promise<number>
  close(): Promise<void>
}

/** The stream was not at the expected revision: somebody else wrote, decide again. */
export class WrongRevision extends Error {
  override readonly name = 'WrongRevision'
  readonly stream: string
  readonly expected: number

  constructor(stream: string, expected: number) {
    super(`${stream} is not at revision ${expected}`)
    this.stream = stream
    this.expected = expected
  }
}

/** The event is larger than the log takes; nothing was written. */
export class EventTooLarge extends Error {
  override readonly name = 'EventTooLarge'
}
