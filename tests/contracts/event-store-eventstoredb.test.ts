import { randomBytes } from 'node:crypto'
import { openEventStoreDb } from '../../src/adapters/eventstore/eventstoredb.ts'
import type { Log } from '../../src/kernel/ports/log.ts'
import { WireServer } from '../support/wire-server.ts'
import { eventStoreContract } from './event-store.ts'

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

const { EVENTSTORE_URL: url } = process.env
if (url)
  eventStoreContract('EventStoreDB', async () => {
    const store = await openEventStoreDb({ url, namespace: `test${randomBytes(6).toString('hex')}_`, log })
    return { store, close: () => store.close() }
  })
