import { setTimeout as pause } from 'node:timers/promises'
import { EventStoreDBClient } from '@eventstore/db-client'
import { expect, it } from 'vitest'
import { isTransient, openEventStoreDb } from '../../src/adapters/eventstore/eventstoredb.ts'
import type { StoredEvent } from '../../src/kernel/events.ts'
import { type Appended, noStream } from '../../src/kernel/ports/event-store.ts'
import { storedEvent } from '../contracts/event-store.ts'
import { standsApart } from '../support/engines.ts'
import { oneOf, points, randomOf, repeat, seed } from '../support/load.ts'
import { WireServer } from '../support/wire-server.ts'

standsApart('it takes its stand-in for EventStoreDB away')

/** What may go wrong; each is over when it resolves. */
const kinds: Record<string, (nodes: WireServer[], node: WireServer, random: () => number) => Promise<void> | void> = {
  disconnect: (_, node) => node.cable.disconnect(),
  async freeze(_, node, random) {
    node.cable.freeze()
    await pause(random() * 1_200)
    node.cable.thaw()
  },
  async 'the leader is away'(nodes, _, random) {
    const leader = nodes.find(each => each.leader)!
    await leader.cable.refuse()
    nodes[(nodes.indexOf(leader) + 1) % nodes.length]!.lead()
    await pause(random() * 600)
    await leader.cable.listen()
  },
  async 'all are away'(nodes, _, random) {
    await Promise.all(nodes.map(node => node.cable.refuse()))
    await pause(random() * 600)
    await Promise.all(nodes.map(node => node.cable.listen()))
  },
  'the leader changes': (_, node) => node.lead(),
  'subscriptions end': nodes => {
    for (const node of nodes) node.end('subscriptions')
  },
  'readers are too slow': nodes => {
    for (const node of nodes) node.dropSlowReaders()
  },
  'answers are lost': nodes => {
    for (const node of nodes) node.loseAnswers += 2
  },
  'the server is not ready': nodes => {
    for (const node of nodes) node.busy.push('not ready', 'timeout')
  },
}

/** Over the wire only: no real server's elections or disk. Writers and readers under load while one fault after the other happens. */
it.each([1, 3])(
  `loses and doubles nothing through ${points} faults of a wire server of %i nodes ${repeat}`,
  async size => {
    const random = randomOf(seed)
    const nodes = await WireServer.cluster(size)
    const url = nodes[0]!.url + (size > 1 ? '&maxDiscoverAttempts=3&discoveryInterval=20&gossipTimeout=1' : '')
    const log = { debug() {}, info() {}, warn() {}, error() {} }
    const store = await openEventStoreDb({
      url,
      namespace: '',
      log,
      patience: { attempt: 800, reader: 800, total: 8_000, look: 100, settle: 5_000 },
    })
    try {
      const acknowledged: { stream: string; events: readonly StoredEvent[]; appended: Appended }[] = []
      let writing = true
      const writers = Array.from({ length: 20 }, async (_, index) => {
        for (let n = 0; writing; n++) {
          const stream = `test-${index}x${n}`
          const events = ['A', 'B'].slice(0, 1 + (n % 2)).map(type => storedEvent(type, { text: 'x'.repeat((n * 37) % 900) }))
          try {
            acknowledged.push({ stream, events, appended: await store.append(stream, events, noStream) })
          } catch (error) {
            if (!isTransient(error)) throw error
          }
        }
      })
      const reading = new AbortController()
      const readers = [undefined, ['A'], ['B']].map(types => ({ types, seen: [] as number[], passed: 0 }))
      const followers = readers.map(async reader => {
        for await (const { events, passed } of store.subscribe({
          after: 0,
          ...(reader.types && { types: reader.types }),
          signal: reading.signal,
        })) {
          for (const { position } of events) expect(position).toBeGreaterThan(reader.passed)
          reader.seen.push(...events.map(({ position }) => position))
          expect(passed).toBeGreaterThanOrEqual(reader.passed)
          reader.passed = passed
        }
      })

      for (let n = 0; n < points; n++) {
        const before = acknowledged.length
        await oneOf(Object.values(kinds), random)(nodes, oneOf(nodes, random), random)
        // Whatever it was, writing goes on.
        await expect.poll(() => acknowledged.length, { timeout: 25_000, interval: 5 }).toBeGreaterThan(before + 20)
      }
      for (const node of nodes) Object.assign(node, { busy: [], loseAnswers: 0 })
      writing = false
      await Promise.all(writers)
      const head = await store.head()
      await expect.poll(() => readers.every(({ passed }) => passed >= head), { timeout: 25_000, interval: 5 }).toBe(true)
      reading.abort()
      await Promise.all(followers)

      const { log: written } = nodes[0]!
      for (const { stream, events, appended } of acknowledged) {
        expect(written.stream(stream).map(({ id }) => id)).toEqual(events.map(({ id }) => id))
        expect(written.stream(stream).at(-1)!.position).toBe(appended.position)
      }
      for (const { types, seen } of readers) {
        const wanted = written.events.filter(({ type }) => !type.startsWith('$') && (types?.includes(type) ?? true))
        expect(seen).toEqual(wanted.map(({ position }) => position))
      }
    } finally {
      await store.close()
      await Promise.all(nodes.map(node => node.close()))
    }
  },
  60_000 + points * 10_000,
)

it('would see a double: a writer that repeats with a new id after a lost answer leaves two events', async () => {
  const [node] = await WireServer.cluster(1)
  const client = EventStoreDBClient.connectionString(node!.url)
  try {
    node!.loseAnswers = 1
    const append = (): Promise<unknown> =>
      client.appendToStream('test-1', { ...storedEvent(), contentType: 'application/json', data: {} })
    await expect(append()).rejects.toSatisfy(isTransient)
    await append()
    expect(node!.log.stream('test-1')).toHaveLength(2)
  } finally {
    await client.dispose()
    await node!.close()
  }
})
