import { BACKWARDS, END, eventTypeFilter } from '@eventstore/db-client'
import { expect } from 'vitest'
import { noStream } from '../../../src/kernel/ports/event-store.ts'
import { storedEvent } from '../event-store.ts'
import { eventually, fill, impatient, type Proofs, Reader, rawClient, rawEvent, stream, world } from './world.ts'

const many = (count: number, type = 'Counted'): string[] => Array.from({ length: count }, () => type)

/** What a client that reads with a usual filter and resumes as it is told gets. */
async function rawTypes(url: string, after: number, wanted: number): Promise<string[]> {
  const client = rawClient(url)
  const place = { commit: BigInt(after), prepare: BigInt(after) }
  const seen: string[] = []
  const reading = client.subscribeToAll({ fromPosition: place, filter: eventTypeFilter({ regex: '^[^$]' }) })
  reading.on('error', () => {})
  for await (const { event } of reading) if (seen.push(event!.type) === wanted) break
  await reading.unsubscribe()
  return seen
}

const filtersOf = (reads: Awaited<ReturnType<typeof world>>['server']['reads']) =>
  reads.flatMap(read => read.getOptions()!.getFilter() ?? [])

export const subscriptionProofs: Proofs = {
  async 'a reader that pauses holds the server back'() {
    const { server, store } = await world()
    fill(server, many(6_000), 1_000)
    const { promise, resolve } = Promise.withResolvers<void>()
    const reader = new Reader(store)
    reader.hold = promise
    await reader.until(() => reader.slices.length > 0)
    for (let n = 0; n < 30; n++) await store.head()
    expect(server.written).toBeLessThan(3_000)
    resolve()
    await reader.until(() => reader.events.length >= 6_000)
    expect(reader.positions).toEqual([...new Set(reader.positions)].sort((a, b) => a - b))
  },

  async 'leaving a subscription ends its call'() {
    const { server, store } = await world()
    fill(server, many(2_000))
    for await (const _ of store.subscribe({ after: 0, signal: new AbortController().signal })) break
    await eventually(() => server.openSubscriptions === 0)
    // What breaks now is nobody's any more, and must not end the process.
    server.cable.disconnect()
    expect(await store.head()).toBeGreaterThan(0)
  },

  async 'a subscription comes back after disconnects in mid-stream, without gap or double'() {
    const { server, store } = await world()
    const reader = new Reader(store)
    const positions: number[] = []
    for (let round = 0; round < 4; round++) {
      positions.push(...fill(server, many(700)))
      await reader.until(() => reader.events.length > round * 700 + 100)
      server.cable.disconnect()
    }
    await reader.until(() => reader.events.length >= positions.length)
    expect(reader.positions).toEqual(positions)
  },

  async 'a subscription that the server ends without an error goes on'() {
    const { server, store } = await world()
    const reader = new Reader(store)
    await reader.until(() => reader.caughtUp)
    const first = fill(server, many(5))
    await reader.until(() => reader.events.length === 5)
    server.end('subscriptions')
    const second = fill(server, many(5))
    await reader.until(() => reader.events.length === 10)
    expect(reader.positions).toEqual([...first, ...second])
  },

  async 'a reader that was too slow reads on quietly'() {
    const { server, store, lines } = await world()
    const reader = new Reader(store)
    await reader.until(() => reader.caughtUp)
    // More at once than the server's live buffer takes.
    const burst = fill(server, many(400))
    await reader.until(() => reader.events.length === 400 && reader.caughtUp && server.openSubscriptions === 1)
    server.dropSlowReaders()
    const later = fill(server, many(3))
    await reader.until(() => reader.events.length === 403)
    expect(reader.positions).toEqual([...burst, ...later])
    expect(lines.filter(({ level }) => level === 'debug').length).toBeGreaterThan(1)
    expect(lines.filter(({ level }) => level !== 'debug')).toEqual([])
  },

  async 'having caught up is told when it is so, and again whenever something passed'() {
    const { server, store } = await world()
    const backlog = fill(server, many(3_000))
    const reader = new Reader(store)
    await reader.until(() => reader.caughtUp)
    const first = reader.slices.findIndex(({ caughtUp }) => caughtUp)
    expect(reader.slices.slice(0, first + 1).flatMap(({ events }) => events)).toHaveLength(3_000)
    expect(reader.slices[first]!.passed).toBeGreaterThanOrEqual(backlog.at(-1)!)
    for (let n = 1; n <= 3; n++) {
      const [position] = fill(server, ['$Internal'])
      await reader.until(() => reader.caughtUp && reader.passed === position)
    }
    expect(reader.events).toHaveLength(3_000)
  },

  async 'a position between two events is resumed from without losing the next one'() {
    const { server, store } = await world()
    fill(server, ['Before'])
    server.log.epoch()
    const [wanted] = fill(server, ['Wanted', 'After'])
    // What the server reports while one that wants neither catches up: the end of the last record looked at.
    const checkpoints: { commit: bigint; prepare: bigint }[] = []
    const catching = rawClient(server.url).subscribeToAll({
      filter: eventTypeFilter({
        regex: '^Never$',
        maxSearchWindow: 1,
        checkpointReached: (_, place) => void checkpoints.push(place),
      }),
    })
    catching.on('error', () => {})
    await new Promise<void>(resolve => catching.on('caughtUp', resolve).resume())
    await catching.unsubscribe()
    const between = server.log.events.find(({ type }) => type === 'Before')!.end
    expect(between).toBeLessThan(wanted!)
    expect(checkpoints).toContainEqual({ commit: BigInt(between), prepare: 0n })
    expect(await rawTypes(server.url, between, 1)).toEqual(['After'])
    const reader = new Reader(store, { after: between, types: ['Wanted', 'After'] })
    await reader.until(() => reader.caughtUp)
    expect(reader.events.map(({ type }) => type)).toEqual(['Wanted', 'After'])
  },

  async 'a log that ends with what no read shows is followed to its end'() {
    const { server, store, lines } = await world()
    fill(server, ['Before'])
    server.log.epoch()
    const [raw] = await rawClient(server.url).readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 1 }).toArray()
    expect(raw?.event?.type).toBe('Before')
    const reader = new Reader(store, { types: ['Wanted'] })
    await reader.until(() => reader.caughtUp)
    // It lies behind all that can be read, and is where a reader begins again.
    expect(reader.passed).toBeGreaterThan(await store.head())
    expect(reader.passed).toBeLessThanOrEqual(await store.end())
    const again = new Reader(store, { after: reader.passed, types: ['Wanted'] })
    await again.until(() => again.caughtUp)
    server.log.epoch()
    await again.until(() => again.passed > reader.slices[0]!.passed && again.caughtUp)
    server.end('subscriptions')
    const [wanted] = fill(server, ['Wanted'])
    await Promise.all([reader, again].map(one => one.until(() => one.events.length === 1)))
    expect([reader.positions, again.positions]).toEqual([[wanted], [wanted]])
    // Behind the end there is no place to begin: the log was restored, or is another one.
    const lost = new Reader(store, { after: (await store.end()) + 100_000 })
    await lost.until(() => lines.some(({ message }) => message.startsWith('a reader lost the log')))
    expect(lost.caughtUp).toBe(false)
  },

  async 'what is written while a reader looks for its place behind the last event is not lost'() {
    const { server, store } = await world()
    fill(server, ['Before'])
    const push = server.reads.push.bind(server.reads)
    for (const nth of [1, 2, 3]) {
      server.log.epoch()
      const after = await store.end()
      let looks: number | null = null
      const wanted: number[] = []
      server.reads.push = read => {
        const options = read.getOptions()!
        const isLook = options.hasAll() && !options.hasSubscription()
        if (isLook && options.getReadDirection() === 0) looks ??= 0
        else if (isLook && looks !== null && ++looks === nth) wanted.push(...fill(server, ['Wanted']))
        // What follows the lost one would say that it was passed.
        else if (options.hasSubscription() && wanted.length === 1) wanted.push(...fill(server, ['Wanted']))
        return push(read)
      }
      const reader = new Reader(store, { after, types: ['Wanted'] })
      await reader.until(() => wanted.length === 2 && reader.passed >= wanted[1]!)
      expect(reader.positions).toEqual(wanted)
    }
  },

  async 'each position passed is reported live, also of what does not match'() {
    const { server, store } = await world()
    const checkpoints: bigint[] = []
    const usual = rawClient(server.url).subscribeToAll({
      filter: eventTypeFilter({ regex: '^Wanted$', checkpointReached: (_, { commit }) => void checkpoints.push(commit) }),
    })
    usual.on('error', () => {})
    const caughtUp = new Promise<void>(resolve => usual.on('caughtUp', resolve))
    const reader = new Reader(store, { types: ['Wanted'] })
    await reader.until(() => reader.caughtUp)
    await Promise.all([caughtUp, usual.resume()])
    const { position } = await store.append(stream(), [storedEvent('Unwanted')], noStream)
    await reader.until(() => reader.caughtUp && reader.passed === position)
    expect(checkpoints).not.toContain(BigInt(position))
    await usual.unsubscribe()
  },

  async 'what was written while a subscription went live, and does not match, is passed too'() {
    const { server, store } = await world()
    let position = 0
    server.goingLive = () => {
      server.goingLive = () => {}
      ;[position] = fill(server, ['Unwanted']) as [number]
    }
    const reader = new Reader(store, { types: ['Wanted'] })
    await reader.until(() => position > 0 && reader.passed >= position)
    expect(reader.passed).toBe(await store.head())
  },

  async 'far behind it looks with a wide window, near the end with one of 1'() {
    const { server, store } = await world()
    const positions = fill(server, [...many(300), 'Wanted', ...many(50)], 1_500)
    const reader = new Reader(store, { types: ['Wanted'] })
    const windows = (): number[] => filtersOf(server.reads).map(filter => filter.getMax())
    await reader.until(() => windows().length === 3)
    expect(windows()).toEqual([4_096, 64, 1])
    await reader.until(() => reader.caughtUp && reader.passed === positions.at(-1))
    expect(reader.positions).toEqual([positions[300]])
    const { position } = await store.append(stream(), [storedEvent('Unwanted')], noStream)
    await reader.until(() => reader.passed === position)
  },

  async 'the server filters by type, or by stream where there is a namespace, and its own events stay out'() {
    const plain = await world()
    const reader = new Reader(plain.store, { types: ['A.b', 'C'] })
    await reader.until(() => reader.caughtUp)
    const positions = fill(plain.server, ['A.b', 'AXb', 'C', 'CC', '$C'])
    await reader.until(() => reader.passed === positions.at(-1))
    expect(reader.events.map(({ type }) => type)).toEqual(['A.b', 'C'])
    expect(filtersOf(plain.server.reads).at(-1)!.getEventType()!.getRegex()).toBe('^(?:A\\.b|C)$')
  },

  async 'the head counts every event, and a filtered reader reaches it'() {
    const { server, store, lines } = await world({ namespace: 'mine_' })
    await store.append(stream(), [storedEvent('Mine')], noStream)
    const [foreign] = fill(server, ['Foreign', '$Internal']).slice(-1)
    expect(await store.head()).toBe(foreign)
    // The client would drop a filter given to it.
    const all = rawClient(server.url).readAll({
      direction: BACKWARDS,
      fromPosition: END,
      maxCount: 1,
      ...{ filter: eventTypeFilter({ regex: '^M' }) },
    })
    for await (const { event } of all) expect(event!.type).toBe('$Internal')
    const reader = new Reader(store)
    await reader.until(() => reader.passed === foreign)
    expect(reader.events.map(({ type }) => type)).toEqual(['Mine'])
    // At the first go: no subscription fell silent on the way.
    expect(lines).toEqual([])
    expect(filtersOf(server.reads).at(-1)!.getStreamIdentifier()!.getPrefixList()).toEqual(['mine_'])
  },

  async 'a subscription to a frozen server comes back when that does'() {
    const { server, store } = await world({ waits: impatient })
    const reader = new Reader(store)
    await reader.until(() => reader.caughtUp)
    server.cable.freeze()
    const positions = fill(server, many(20))
    const { reads } = server
    const before = reads.length
    // The watch finds out and gives the connection up, long before the client's own 20 s.
    await expect(store.head()).rejects.toThrow()
    server.cable.thaw()
    await reader.until(() => reader.events.length === 20)
    expect(reader.positions).toEqual(positions)
    expect(reads.length).toBeGreaterThan(before)
  },

  async 'readers and writers go on after a restart'() {
    const { server, store, lines } = await world()
    const reader = new Reader(store)
    const one = stream()
    await store.append(one, [storedEvent()], noStream)
    await reader.until(() => reader.events.length === 1)
    await server.cable.refuse()
    await eventually(() => lines.some(({ level }) => level === 'warn'))
    const writing = store.append(one, [storedEvent()], 0)
    await server.cable.listen()
    await writing
    await reader.until(() => reader.events.length === 2)
    expect((await store.read(one)).map(({ revision }) => revision)).toEqual([0, 1])
  },

  async 'an event that Darkroom did not write is passed over in the log and refused in a stream'() {
    const { server, store } = await world()
    await rawClient(server.url).appendToStream('foreign-1', { ...rawEvent('Foreign'), metadata: undefined })
    const reader = new Reader(store)
    await reader.until(() => reader.caughtUp)
    expect(reader.events).toEqual([])
    await expect(store.read('foreign-1')).rejects.toThrow('did not write')
  },
}
