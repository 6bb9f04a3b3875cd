import { EventStoreDBClient } from '@eventstore/db-client'
import { WireServer } from '../../support/wire-server.ts'
import { loseWhileDiscovering } from './lose-while-discovering.ts'

/**
 * What the client alone makes of a value that is not JSON, of a connection that breaks under a burst, and of one that breaks while it looks
 * for another. Exits with 0 where it survives.
 */
const append = (client: EventStoreDBClient, data: Record<string, unknown>): Promise<unknown> =>
  client
    .appendToStream(`test-${crypto.randomUUID()}`, {
      id: crypto.randomUUID(),
      contentType: 'application/json',
      type: 'Tested',
      data,
      metadata: {},
    })
    .catch(() => {})

const scenarios: Record<string, () => Promise<unknown>> = {
  async bigint() {
    const client = EventStoreDBClient.connectionString((await WireServer.start()).url)
    await append(client, {})
    await Promise.race([append(client, { n: 1n }), new Promise(resolve => setTimeout(resolve, 5_000))])
  },
  async burst() {
    const server = await WireServer.start()
    const client = EventStoreDBClient.connectionString(server.url)
    await append(client, {})
    server.cable.freeze()
    const burst = Array.from({ length: 100 }, () => append(client, { text: 'x'.repeat(150_000) }))
    // A turn for what is ready to be written.
    await new Promise(resolve => setImmediate(resolve))
    server.cable.disconnect()
    await Promise.race([Promise.all(burst), new Promise(resolve => setTimeout(resolve, 5_000))])
  },
  discovery: async () => loseWhileDiscovering(url => EventStoreDBClient.connectionString(url), await WireServer.cluster(2)),
}
await scenarios[process.argv[2]!]!()
// Unhandled rejections are told at the end of a turn.
await new Promise(resolve => setImmediate(resolve))
process.exit(0)
