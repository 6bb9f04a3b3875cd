/** An event as it crosses the wire, at its place in the log. */
export type WireEvent = {
  readonly id: string
  readonly type: string
  readonly contentType: string
  readonly data: Uint8Array
  readonly metadata: Uint8Array
  readonly stream: string
  readonly revision: number
  /** Where its record begins; commit and prepare alike. */
  readonly position: number
  /** Where the next record begins. */
  readonly end: number
}

export type Proposed = Pick<WireEvent, 'id' | 'type' | 'contentType' | 'data' | 'metadata'>
export type Outcome = { readonly revision: number; readonly position: number } | { readonly current: number }
/** {commit, prepare}, as the server compares them. */
export type Place = { readonly commit: number; readonly prepare: number }
export type Page = {
  readonly events: readonly WireEvent[]
  readonly next: Place
  /** How many events were looked at, wanted or not. */
  readonly considered: number
  readonly atEnd: boolean
}

const epochs = '$epoch-information'
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/**
 * A log in memory with the places and pages of EventStoreDB 23.10 (from its source): positions are bytes, between events there are records that
 * are none, the place behind what was read is {commit: end of the last record, prepare: 0}.
 */
export class WireLog {
  readonly events: WireEvent[] = []
  readonly #streams = new Map<string, WireEvent[]>()
  readonly #listeners = new Set<(event: WireEvent) => void>()
  #end = 0

  /** @param backup taken of another one */
  constructor(backup?: WireLog) {
    if (backup !== undefined) {
      for (const [name, stream] of backup.#streams) this.#streams.set(name, [...stream])
      this.events.push(...backup.events)
      this.#end = backup.#end
      this.epoch()
      return
    }
    this.epoch()
    const created = { id: crypto.randomUUID(), contentType: 'application/json', data: bytes('{}'), metadata: bytes('') }
    this.append('$users', -1, [{ ...created, type: '$UserCreated' }])
    this.epoch()
  }

  /** What a new leader writes: a record that is no event, and an event that only subscriptions look at. */
  epoch(): void {
    this.#end += 120
    const told = { id: crypto.randomUUID(), contentType: 'application/json', data: bytes('{}'), metadata: bytes('') }
    this.append(epochs, this.stream(epochs).length - 1, [{ ...told, type: '$EpochInformation' }])
  }

  /** What a read of all of the log shows. */
  readable({ stream }: WireEvent): boolean {
    return stream !== epochs
  }

  /** The last event that a read shows. */
  get last(): WireEvent | undefined {
    return this.events.findLast(event => this.readable(event))
  }

  stream(name: string): readonly WireEvent[] {
    return this.#streams.get(name) ?? []
  }

  /** @param expected -1: no stream */
  append(name: string, expected: number, proposed: readonly Proposed[]): Outcome {
    const stream = this.#streams.get(name) ?? []
    const current = stream.length - 1
    const there = stream.slice(expected + 1, expected + 1 + proposed.length)
    if (current > expected && there.length === proposed.length && there.every(({ id }, index) => id === proposed[index]!.id)) {
      const { revision, position } = there.at(-1)!
      return { revision, position }
    }
    if (current !== expected) return { current }
    this.#streams.set(name, stream)
    const added = proposed.map(event => {
      const position = this.#end
      this.#end += 80 + name.length + event.type.length + event.data.length + event.metadata.length
      return { ...event, stream: name, revision: stream.length, position, end: this.#end }
    })
    for (const [index, event] of added.entries()) {
      const placed = { ...event, revision: current + 1 + index }
      stream.push(placed)
      this.events.push(placed)
    }
    for (const event of stream.slice(-added.length)) for (const listener of this.#listeners) listener(event)
    const { revision, position } = stream.at(-1)!
    return { revision, position }
  }

  /** Called with each event from now on. */
  listen(listener: (event: WireEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Forwards from a place, inclusive. @throws where the place is within a record: the real server reads nonsense there */
  page(from: Place, maxCount: number, window: number, wanted: (event: WireEvent) => boolean): Page {
    let index = this.#indexAt(from.commit)
    const inside = this.events[index - 1]
    if (inside !== undefined && from.commit > inside.position && from.commit < inside.end) {
      throw new Error(`${from.commit} is within the record at ${inside.position}`)
    }
    const events: WireEvent[] = []
    let next = from
    let considered = 0
    for (; events.length < maxCount && considered < window; index++) {
      const event = this.events[index]
      if (event === undefined) return { events, next, considered, atEnd: true }
      considered++
      if (wanted(event)) events.push(event)
      next = { commit: event.end, prepare: 0 }
    }
    return { events, next, considered, atEnd: false }
  }

  /** Of the first event at or behind a position. */
  #indexAt(position: number): number {
    let low = 0
    let high = this.events.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.events[middle]!.position < position) low = middle + 1
      else high = middle
    }
    return low
  }
}
