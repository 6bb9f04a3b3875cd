import { expect, it, vi } from 'vitest'
import { EmbeddedEventStore } from '../../src/adapters/eventstore/embedded.ts'
import { Wakeups } from '../../src/adapters/eventstore/wakeups.ts'
import { openPool } from '../../src/adapters/postgres/database.ts'
import { noStream } from '../../src/kernel/ports/event-store.ts'
import { standsApart } from '../support/engines.ts'
import { testKernel } from '../support/kernel.ts'
import { eventsBehind } from '../support/log.ts'
import { eventStoreContract, storedEvent } from './event-store.ts'

standsApart('it is about the log in Postgres')

/** Logs of these namespaces in one database. */
async function logs(...namespaces: string[]): Promise<{ stores: EmbeddedEventStore[]; close(): Promise<void> }> {
  const kernel = await testKernel()
  const pool = openPool(kernel.url, 12, () => {})
  const stores = namespaces.map(namespace => new EmbeddedEventStore(pool, namespace))
  return {
    stores,
    async close() {
      for (const store of stores) await store.close()
      await pool.end()
      await kernel.close()
    },
  }
}

eventStoreContract('embedded in Postgres', async () => {
  const { stores, close } = await logs('')
  return { store: stores[0]!, close }
})

it('shares one log between namespaces and processes without mixing them', async () => {
  const { stores, close } = await logs('', 'other_')
  const [one, other] = stores as [EmbeddedEventStore, EmbeddedEventStore]
  try {
    await one.append('test-1', [storedEvent('Here')], noStream)
    await other.append('test-1', [storedEvent('There')], noStream)
    expect((await other.read('test-1')).map(({ type, stream }) => [type, stream])).toEqual([['There', 'test-1']])
    expect((await eventsBehind(one, 0)).map(({ type }) => type)).toEqual(['Here'])
    const reading = new AbortController()
    for await (const { events, caughtUp } of other.subscribe({ after: 0, signal: reading.signal })) {
      expect(events.map(({ type }) => type)).toEqual(['There'])
      if (caughtUp) break
    }
    reading.abort()
  } finally {
    await close()
  }
})

it('other processes are told of what one appends, also of one that had been alone', async () => {
  const kernel = await testKernel()
  const pool = openPool(kernel.url, 12, () => {})
  const [one, other] = [new Wakeups(pool, () => {}), new Wakeups(pool, () => {})]
  const { signal } = new AbortController()
  const told = async (): Promise<void> => {
    const before = other.heard
    one.appended()
    while (other.heard === before) await other.next(signal)
  }
  const clock = vi.spyOn(performance, 'now')
  try {
    // Each listens from its first question on, and then says so: whoever did so first hears the other.
    await Promise.all([one.next(signal), other.next(signal)])
    await vi.waitFor(() => expect(one.heard + other.heard).toBeGreaterThan(0), 5_000)
    await told()
    const now = performance.now()
    clock.mockImplementation(() => now + 60_000)
    await told()
  } finally {
    clock.mockRestore()
    await Promise.all([one.close(), other.close()])
    await pool.end()
    await kernel.close()
  }
})

it('says that it is overloaded, and takes no more, where too many appends wait', async () => {
  const pool = openPool('postgres://127.0.0.1:1/none', 1, () => {})
  const store = new EmbeddedEventStore(pool)
  const appends = Array.from({ length: 20_001 }, (_, n) => store.append(`test-${n}`, [storedEvent('Here')], noStream))
  const last = appends.pop()!
  await expect(last).rejects.toMatchObject({ status: 503, code: 'unavailable' })
  await Promise.allSettled(appends)
  await store.close()
  await pool.end()
})
