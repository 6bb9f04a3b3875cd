import type { LoggedEvent } from '../events.ts'
import type { EventStore } from '../ports/event-store.ts'

/** Events that wait for one consumer, bounded. What does not fit makes the consumer read on by itself. */
export class Intake {
  readonly types: ReadonlySet<string>
  readonly #capacity: number
  #queue: LoggedEvent[] = []
  #through: number
  #overflowed = false
  #wake: (() => void) | null = null
  #inHand = false

  constructor(types: Iterable<string>, at: number, capacity: number) {
    this.types = new Set(types)
    this.#through = at
    this.#capacity = capacity
  }

  /** Nothing waits, and what was taken last is done (the taker has come back for more). */
  get idle(): boolean {
    return this.#queue.length === 0 && !this.#inHand && !this.#overflowed
  }

  push(events: readonly LoggedEvent[], through: number): void {
    if (this.#overflowed) return
    const mine = events.filter(event => this.types.has(event.type))
    if (this.#queue.length + mine.length > this.#capacity) {
      this.#overflowed = true
      this.#queue = []
    } else {
      for (const event of mine) this.#queue.push(event)
      this.#through = through
      if (mine.length === 0) return
    }
    this.#wake?.()
  }

  /** Up to `most` events and how far they reach; waits for the first. Null where it overflowed or the signal aborted. */
  async take(most: number, signal: AbortSignal): Promise<{ events: LoggedEvent[]; through: number } | null> {
    this.#inHand = false
    while (this.#queue.length === 0 && !this.#overflowed && !signal.aborted) {
      await new Promise<void>(resolve => {
        const done = (): void => {
          signal.removeEventListener('abort', done)
          this.#wake = null
          resolve()
        }
        this.#wake = done
        signal.addEventListener('abort', done, { once: true })
      })
    }
    if (this.#overflowed || signal.aborted) return null
    const events = this.#queue.splice(0, most)
    this.#inHand = true
    return { events, through: this.#queue.length === 0 ? this.#through : events.at(-1)!.position }
  }
}

/** The one live reader of a process: what it reads goes to each consumer's intake, and none holds up another. */
export class Dispatcher {
  readonly #store: EventStore
  readonly #types: readonly string[]
  readonly #intakes = new Set<Intake>()
  readonly #dispatched: () => void
  #position = 0

  /** @param dispatched is told after every slice */
  constructor(store: EventStore, types: Iterable<string>, dispatched: () => void) {
    this.#store = store
    this.#types = [...new Set(types)]
    this.#dispatched = dispatched
  }

  /** All events up to here are in the intakes that had joined. */
  get position(): number {
    return this.#position
  }

  /** From the position that it answers on, the intake gets everything. */
  join(types: Iterable<string>, capacity = 5_000): { intake: Intake; from: number } {
    const intake = new Intake(types, this.#position, capacity)
    this.#intakes.add(intake)
    return { intake, from: this.#position }
  }

  leave(intake: Intake): void {
    this.#intakes.delete(intake)
  }

  /** Reads from `after` until the signal aborts. */
  async run(after: number, signal: AbortSignal): Promise<void> {
    this.#position = after
    for await (const slice of this.#store.subscribe({ after, types: this.#types, signal })) {
      for (const intake of this.#intakes) intake.push(slice.events, slice.passed)
      const moved = slice.passed > this.#position
      this.#position = slice.passed
      if (moved) this.#dispatched()
    }
  }
}
