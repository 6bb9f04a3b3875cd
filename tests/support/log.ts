import type { LoggedEvent } from '../../src/kernel/events.ts'
import type { EventStore } from '../../src/kernel/ports/event-store.ts'

/** What a deployment has written behind a position, in order: the log's head also moves for others that share it. */
export async function eventsBehind(store: EventStore, position: number): Promise<LoggedEvent[]> {
  const reading = new AbortController()
  const head = await store.head()
  const found: LoggedEvent[] = []
  for await (const { events, passed } of store.subscribe({ after: position, signal: reading.signal })) {
    found.push(...events)
    if (passed >= head) break
  }
  reading.abort()
  return found
}
