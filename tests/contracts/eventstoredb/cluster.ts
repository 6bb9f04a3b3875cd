import { expect } from 'vitest'
import { connect } from '../../../src/adapters/eventstore/eventstoredb/connection.ts'
import { isTransient } from '../../../src/adapters/eventstore/eventstoredb.ts'
import { noStream } from '../../../src/kernel/ports/event-store.ts'
import type { WireServer } from '../../support/wire-server.ts'
import { storedEvent } from '../event-store.ts'
import { endsBadly } from './child.ts'
import { loseWhileDiscovering } from './lose-while-discovering.ts'
import {
  eventually,
  impatient,
  open,
  type Proofs,
  patience,
  Reader,
  rawClient,
  rawEvent,
  servers,
  stream,
  world,
} from './world.ts'

const query = '&maxDiscoverAttempts=2&discoveryInterval=10&gossipTimeout=1'

/** Appends one after another, for as long as the test says, and checks that each is there once. */
async function writeThrough(
  store: Awaited<ReturnType<typeof world>>['store'],
  server: WireServer,
  change: () => Promise<void>,
): Promise<void> {
  const streams: string[] = []
  let writing = true
  const writer = async (): Promise<void> => {
    while (writing) {
      const one = stream()
      await store.append(one, [storedEvent()], noStream)
      streams.push(one)
    }
  }
  const writers = [writer(), writer(), writer(), writer()]
  await eventually(() => streams.length > 20)
  await change()
  const before = streams.length
  await eventually(() => streams.length > before + 20)
  writing = false
  await Promise.all(writers)
  for (const one of streams) expect(server.log.stream(one)).toHaveLength(1)
}

export const clusterProofs: Proofs = {
  async 'a discovery that failed while appending does not poison later appends'() {
    const { nodes, store } = await world({ size: 3, query, waits: impatient })
    await Promise.all(nodes.map(node => node.cable.refuse()))
    const raw = rawClient(nodes[0]!.url + query)
    await expect(raw.appendToStream(stream(), rawEvent())).rejects.toThrow('Failed to discover')
    const error = await store.append(stream(), [storedEvent()], noStream).catch((failed: unknown) => failed)
    expect(isTransient(error)).toBe(true)
    await Promise.all(nodes.map(node => node.cable.listen()))
    // As it is, the client reads again but never appends.
    for await (const { event } of raw.readAll({ maxCount: 1 })) expect(event).toBeDefined()
    await expect(raw.appendToStream(stream(), rawEvent())).rejects.toThrow('Failed to discover')
    await eventually(() => nodes.some(node => node.calls.gossip > 0))
    const again = (): Promise<unknown> => store.append(stream(), [storedEvent()], noStream).catch((failed: unknown) => failed)
    await expect.poll(again, { timeout: 20_000 }).toMatchObject({ revision: 0 })
  },

  async 'a subscription that breaks during a discovery that fails does not end the process'() {
    expect(await endsBadly('discovery')).toMatch(/^Error: Failed to discover after \d+/m)
    await loseWhileDiscovering(connect, await servers(2))
  },

  async 'appends follow a change of the leader, each written once'() {
    const { nodes, store } = await world({ size: 3, query })
    await writeThrough(store, nodes[0]!, async () => nodes[1]!.lead())
    expect(nodes[1]!.arrived.length).toBeGreaterThan(0)
  },

  async 'appends and readers survive the death of the leader'() {
    const { nodes, store } = await world({ size: 3, query })
    const reader = new Reader(store)
    await writeThrough(store, nodes[0]!, async () => {
      await nodes[0]!.cable.refuse()
      nodes[2]!.lead()
    })
    const head = await store.head()
    await reader.until(() => reader.passed >= head)
    const written = nodes[0]!.log.events.filter(({ type }) => type === 'Tested').map(({ position }) => position)
    expect(reader.positions).toEqual(written)
  },

  async 'a frozen leader is left for the next one'() {
    const { nodes, store } = await world({
      size: 3,
      query,
      waits: { attempt: 700, reader: 700, total: 15_000, look: 50, settle: 5_000 },
    })
    await writeThrough(store, nodes[0]!, async () => {
      nodes[0]!.cable.freeze()
      nodes[1]!.lead()
    })
  },

  async 'discovery passes frozen nodes by'() {
    const nodes = await servers(3)
    for (const node of nodes.slice(1)) node.cable.freeze()
    // Each asks the nodes in an order by chance: as it is, every third one would wait for 10 s.
    const waits = { ...patience, attempt: 8_000, total: 8_000 }
    await Promise.all(Array.from({ length: 10 }, () => open(nodes[0]!.url, { waits })))
  },

  async 'streams are read from the leader'() {
    const [leader, follower] = await servers(2)
    const alone = `esdb://127.0.0.1:${follower!.port}?tls=false`
    const store = await open(alone)
    const one = stream()
    follower!.knows = leader!.log.last!.position
    await store.append(one, [storedEvent()], noStream)
    const behind = rawClient(alone).readStream(one)
    await expect(
      (async () =>
        behind
          .on('error', () => {})
          [Symbol.asyncIterator]()
          .next())(),
    ).rejects.toThrow('not found')
    expect(await store.read(one)).toHaveLength(1)
    expect(await store.head()).toBe(leader!.log.last!.position)
  },
}
