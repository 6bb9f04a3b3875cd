import { setTimeout as pause } from 'node:timers/promises'
import { positionsOf } from '../consistency.ts'
import type { EventStore } from '../ports/event-store.ts'
import type { Log } from '../ports/log.ts'
import { type Database, sql } from '../sql.ts'
import { StartupError } from '../startup-error.ts'

const lookEveryMs = 100

/**
 * Where a log begins for consumers that are new: at 0, but at a deployment's first start on a log that holds nothing of it, behind what a server itself
 * and other namespaces wrote there.
 */
export async function beginningOf(db: Database, store: Pick<EventStore, 'subscribe'>, head: number): Promise<number> {
  const [known] = await db.run(sql`select key from kernel.consumers limit 1`)
  if (head === 0 || known !== undefined) return 0
  const reading = new AbortController()
  try {
    for await (const { events, passed } of store.subscribe({ after: 0, signal: reading.signal })) {
      if (events.length > 0) return 0
      if (passed >= head) return head
    }
  } finally {
    reading.abort()
  }
  return 0
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
