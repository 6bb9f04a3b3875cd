import { rejects } from 'node:assert/strict'
import { once } from 'node:events'
import type { EventStoreDBClient } from '@eventstore/db-client'
import { collect } from '../../../src/adapters/eventstore/eventstoredb/connection.ts'
import type { WireServer } from '../../support/wire-server.ts'

/**
 * Lets a subscription break while its client looks for another node, in vain.
 * @param nodes two, of which the first one leads
 */
export async function loseWhileDiscovering(
  connect: (url: string) => EventStoreDBClient,
  nodes: readonly WireServer[],
): Promise<void> {
  const [leader, next] = nodes as [WireServer, WireServer]
  const client = connect(`${leader.url}&maxDiscoverAttempts=3&discoveryInterval=100&gossipTimeout=1`)
  const read = (): Promise<unknown> => collect(client.readAll({ maxCount: 1, requiresLeader: true }), 20_000)
  const subscription = client.subscribeToAll({ requiresLeader: true })
  await once(subscription, 'confirmation')
  next.lead()
  await rejects(read(), { type: 'not-leader' })
  // The client goes there, and finds it gone. The subscription still is with the first one, which falls silent.
  await next.cable.refuse()
  await rejects(read(), { type: 'unavailable' })
  leader.cable.freeze()
  const broken = rejects(once(subscription, 'end'), { type: 'unavailable' })
  const discovering = rejects(read(), /Failed to discover/)
  await leader.cable.refuse()
  await Promise.all([discovering, broken])
  await client.dispose()
}
