import { setTimeout as pause } from 'node:timers/promises'
import { positionsOf } from '../consistency.ts'
import type { EventStore } from '../ports/event-store.ts'
import type { Log } from '../ports/log.ts'
import { type Database, sql } from '../sql.ts'
import { StartupError } from '../startup-error.ts'

const lookEveryMs = 100

/**
 * Up to where consumers that are new have to be filled: the log's end, but 0 at a deployment's first start on a log with nothing of it. A server's own
 * events, and those of other namespaces, fill nothing.
 */
export async function fillingUntil(db: Database, store: Pick<EventStore, 'subscribe'>, head: number): Promise<number> {
  const [known] = await db.run(sql`select key from kernel.consumers limit 1`)
  if (head === 0 || known !== undefined) return head
  const reading = new AbortController()
  try {
    for await (const { events, passed } of store.subscribe({ after: 0, signal: reading.signal })) {
      if (events.length > 0) return head
      if (passed >= head) return 0
    }
  } finally {
    reading.abort()
  }
  return head
}

/**
 * Waits until consumers that were new to a log with events in it, as new versions of read models are, have come to where the log ended then. Nothing may be
 * served before: from half of their rows the rules would not know of every block. Whoever was there once is not waited for again.
 * @throws StartupError where the signal aborts
 */
export async function filled(db: Database, keys: readonly string[], log: Log, signal?: AbortSignal): Promise<void> {
  let told = false
  for (;;) {
    const filling = await db.run<{ key: string; until: number }>(
      sql`select key, filling_until as until from kernel.consumers where key = any(${sql.val(keys)}::text[]) and filling_until > 0`,
    )
    if (filling.length === 0) return
    if (!told) log.info({ models: filling.map(({ key }) => key) }, 'waits until new read models are filled')
    told = true
    const positions = await positionsOf(db)
    const done = filling.filter(({ key, until }) => (positions.get(key) ?? 0) >= until).map(({ key }) => key)
    await db.run(sql`update kernel.consumers set filling_until = 0 where key = any(${sql.val(done)}::text[])`)
    if (done.length === filling.length) return
    await pause(lookEveryMs, undefined, { signal }).catch(cause => {
      throw new StartupError('Ended before new read models were filled: the next start goes on from there.', { cause })
    })
  }
}
