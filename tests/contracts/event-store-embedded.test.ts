import { expect, it } from 'vitest'
import { EmbeddedEventStore } from '../../src/adapters/eventstore/embedded.ts'
import { openPool } from '../../src/adapters/postgres/database.ts'
import { noStream } from '../../src/kernel/ports/event-store.ts'
import { testKernel } from '../support/kernel.ts'
import { eventStoreContract, storedEvent } from './event-store.ts'

eventStoreContract('embedded in Postgres', async () => {
  const kernel = await testKernel()
  return { store: kernel.store, close: kernel.close }
})

it('shares one log between namespaces and processes without mixing them', async () => {
  const kernel = await testKernel()
  const pool = openPool(kernel.url, 4, () => {})
  const other = new EmbeddedEventStore(pool, 'other_')
  try {
    await kernel.store.append('test-1', [storedEvent('Here')], noStream)
    await other.append('test-1', [storedEvent('There')], noStream)
    expect((await other.read('test-1')).map(({ type, stream }) => [type, stream])).toEqual([['There', 'test-1']])
    const reading = new AbortController()
    for await (const { events, caughtUp } of other.subscribe({ after: 0, signal: reading.signal })) {
      expect(events.map(({ type }) => type)).toEqual(['There'])
      if (caughtUp) break
    }
    reading.abort()
  } finally {
    await other.close()
    await pool.end()
    await kernel.close()
  }
})
