import { InProcessBus } from '../../src/adapters/bus/in-process.ts'
import { Positions } from '../../src/kernel/consistency.ts'
import { sql } from '../../src/kernel/sql.ts'
import type { TestApp } from './app.ts'
import { eventsBehind } from './log.ts'

/** Waits until every model and reaction has passed the log's end, also the end of what they append themselves. */
export async function allSettled({ app: { db, store } }: TestApp): Promise<void> {
  const consumers = await db.run<{ key: string }>(sql`select key from kernel.consumers`)
  const positions = new Positions(db, new InProcessBus(() => {}))
  try {
    for (let head = await store.head(), more = true; more; ) {
      await positions.wait(
        consumers.map(({ key }) => key),
        head,
        20_000,
      )
      const before = head
      head = await store.head()
      more = (await eventsBehind(store, before)).length > 0
    }
  } finally {
    await positions.close()
  }
}
