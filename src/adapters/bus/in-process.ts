import type { Bus } from '../../kernel/ports/bus.ts'
import { matchesSubject } from '../../kernel/subjects.ts'

type Subscriber = { readonly pattern: string; readonly handler: (message: unknown, subject: string) => void }

/** The bus of a single process: handlers run right away, in the order in which they subscribed. */
export class InProcessBus implements Bus {
  readonly #exact = new Map<string, Set<Subscriber>>()
  readonly #patterns = new Set<Subscriber>()
  readonly #onError: (error: unknown) => void

  /** @param onError gets what a handler throws; the others are told all the same */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  publish(subject: string, message: unknown): void {
    for (const subscriber of [...(this.#exact.get(subject) ?? [])]) this.#tell(subscriber, message, subject)
    for (const subscriber of [...this.#patterns])
      if (matchesSubject(subscriber.pattern, subject)) this.#tell(subscriber, message, subject)
  }

  subscribe(pattern: string, handler: Subscriber['handler']): () => void {
    const subscriber = { pattern, handler }
    if (/[*>]/.test(pattern)) {
      this.#patterns.add(subscriber)
      return () => void this.#patterns.delete(subscriber)
    }
    const those = this.#exact.get(pattern) ?? new Set()
    this.#exact.set(pattern, those.add(subscriber))
    return () => {
      those.delete(subscriber)
      if (those.size === 0 && this.#exact.get(pattern) === those) this.#exact.delete(pattern)
    }
  }

  async close(): Promise<void> {
    this.#exact.clear()
    this.#patterns.clear()
  }

  #tell({ handler }: Subscriber, message: unknown, subject: string): void {
    try {
      handler(message, subject)
    } catch (error) {
      this.#onError(error)
    }
  }
}
