import { EventStoreDBClient } from '@eventstore/db-client'
import { WireServer } from '../../support/wire-server.ts'

/** What the client alone makes of a value that is not JSON, and of a connection that breaks under a burst. Exits with 0 where it survives. */
const server = await WireServer.start()
const client = EventStoreDBClient.connectionString(server.url)
const append = (data: Record<string, unknown>): Promise<unknown> =>
  client
    .appendToStream(`test-${crypto.randomUUID()}`, {
      id: crypto.randomUUID(),
      contentType: 'application/json',
      type: 'Tested',
      data,
      metadata: {},
    })
    .catch(() => {})
await append({})
if (process.argv[2] === 'bigint') await Promise.race([append({ n: 1n }), new Promise(resolve => setTimeout(resolve, 5_000))])
else {
  server.cable.freeze()
  const burst = Array.from({ length: 100 }, () => append({ text: 'x'.repeat(150_000) }))
  // A turn for what is ready to be written.
  await new Promise(resolve => setImmediate(resolve))
  server.cable.disconnect()
  await Promise.race([Promise.all(burst), new Promise(resolve => setTimeout(resolve, 5_000))])
}
// Unhandled rejections are told at the end of a turn.
await new Promise(resolve => setImmediate(resolve))
process.exit(0)
