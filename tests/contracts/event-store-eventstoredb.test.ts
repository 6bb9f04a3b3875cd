import { expect, it, vi } from 'vitest'
import { openEventStoreDb } from '../../src/adapters/eventstore/eventstoredb.ts'
import { noStream } from '../../src/kernel/ports/event-store.ts'
import type { Log } from '../../src/kernel/ports/log.ts'
import { ownName, standsApart, standsOn } from '../support/engines.ts'
import { eventsBehind } from '../support/log.ts'
import { WireServer } from '../support/wire-server.ts'
import { eventStoreContract, storedEvent } from './event-store.ts'

standsApart('what says “the wire only” runs on a stand-in for EventStoreDB')
standsOn('EVENTSTORE_URL')

const log: Log = { debug() {}, info() {}, warn() {}, error() {} }

for (const namespace of ['', 'wire_']) {
  eventStoreContract(`EventStoreDB's client over a wire server${namespace && ', in a namespace'} (the wire only)`, async () => {
    const server = await WireServer.start()
    const store = await openEventStoreDb({ url: server.url, namespace, log })
    return {
      store,
      async close() {
        await store.close()
        await server.close()
      },
    }
  })
}

/** A namespace that nobody else has, for a server that others use too. */
const ownNamespace = (): string => `${ownName()}_`

/** Not a server of the test's own: the one that an operator wants proven. */
const { EVENTSTORE_URL: given } = process.env
if (given)
  eventStoreContract('EventStoreDB', async () => {
    const store = await openEventStoreDb({ url: given, namespace: ownNamespace(), log })
    return { store, close: () => store.close() }
  })

it(`shares one log between namespaces without mixing them (${given ? 'EventStoreDB' : 'the wire only'})`, async () => {
  const server = given ? null : await WireServer.start()
  const url = given ?? server!.url
  const [one, other] = [
    await openEventStoreDb({ url, namespace: ownNamespace(), log }),
    await openEventStoreDb({ url, namespace: ownNamespace(), log }),
  ]
  try {
    const after = await one.head()
    await one.append('test-1', [storedEvent('Here')], noStream)
    const { position } = await other.append('test-1', [storedEvent('There')], noStream)
    await one.append('test-2', [storedEvent('Here')], noStream)
    expect((await other.read('test-1')).map(({ type, stream }) => [type, stream])).toEqual([['There', 'test-1']])
    const reading = new AbortController()
    const seen: string[] = []
    for await (const { events, passed, caughtUp } of other.subscribe({ after, signal: reading.signal })) {
      seen.push(...events.map(({ type, stream }) => `${type} ${stream}`))
      if (caughtUp && passed > position) break
    }
    expect(seen).toEqual(['There test-1'])
  } finally {
    await one.close()
    await other.close()
    await server?.close()
  }
})

it('answers appends while one before them waits for its own answer (the wire only)', async () => {
  const server = await WireServer.start()
  const store = await openEventStoreDb({ url: server.url, namespace: '', log })
  try {
    await store.append('test-1', [storedEvent()], noStream)
    const ended: string[] = []
    server.mute = true
    const stuck = store.append('test-2', [storedEvent()], noStream).then(() => ended.push('stuck'))
    await vi.waitFor(() => expect(server.arrived).toHaveLength(2))
    server.mute = false
    const others = ['test-3', 'test-4'].map(one => store.append(one, [storedEvent()], noStream).then(() => ended.push(one)))
    await Promise.all([stuck, ...others])
    expect(ended).toEqual(['test-3', 'test-4', 'stuck'])
    expect(server.log.stream('test-2')).toHaveLength(1)
  } finally {
    await store.close()
    await server.close()
  }
})

it('takes nothing of a namespace for its own where it has none (the wire only)', async () => {
  const server = await WireServer.start()
  const [plain, other] = [
    await openEventStoreDb({ url: server.url, namespace: '', log }),
    await openEventStoreDb({ url: server.url, namespace: 'other1_', log }),
  ]
  try {
    await other.append('test-1', [storedEvent('There')], noStream)
    await plain.append('test-1_2', [storedEvent('Here')], noStream)
    await other.append('test-2', [storedEvent('There')], noStream)
    expect((await eventsBehind(plain, 0)).map(({ stream }) => stream)).toEqual(['test-1_2'])
  } finally {
    await plain.close()
    await other.close()
    await server.close()
  }
})
