import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StoredEvent } from '../../src/kernel/events.ts'
import { type EventStore, EventTooLarge, noStream, type Slice, WrongRevision } from '../../src/kernel/ports/event-store.ts'

export const storedEvent = (type = 'Tested', data: object = {}): StoredEvent => ({
  id: randomUUID(),
  type,
  data,
  metadata: {
    at: new Date().toISOString(),
    actorId: null,
    sessionId: null,
    correlationId: 'test',
    causationId: null,
    schemaVersion: 1,
  },
})

const stream = (): string => `test-${randomUUID()}`

/** Reads on until `enough` says so. */
async function until(
  store: EventStore,
  options: { after: number; types?: string[] },
  enough: (slices: Slice[]) => boolean,
): Promise<Slice[]> {
  const reading = new AbortController()
  const slices: Slice[] = []
  for await (const slice of store.subscribe({ ...options, signal: reading.signal })) {
    slices.push(slice)
    if (enough(slices)) break
  }
  reading.abort()
  return slices
}

/** What every event store does, adapter by adapter. */
export function eventStoreContract(name: string, open: () => Promise<{ store: EventStore; close: () => Promise<void> }>): void {
  describe(`the event store: ${name}`, () => {
    let store: EventStore
    let close: () => Promise<void>
    beforeAll(async () => {
      ;({ store, close } = await open())
    })
    afterAll(() => close())

    it('gives contiguous revisions from 0 and rising positions', async () => {
      const one = stream()
      const first = await store.append(one, [storedEvent(), storedEvent()], noStream)
      const second = await store.append(one, [storedEvent()], 1)
      expect([first.revision, second.revision]).toEqual([1, 2])
      expect(second.position).toBeGreaterThan(first.position)
      const events = await store.read(one)
      expect(events.map(({ revision }) => revision)).toEqual([0, 1, 2])
      expect(events[2]!.position).toBe(second.position)
      expect(await store.head()).toBeGreaterThanOrEqual(second.position)
    })

    it('keeps data and metadata as they were, in any script', async () => {
      const one = stream()
      const event = storedEvent('Tested', { text: 'Ünïcode "quotes" \\ 👩‍🚀 {a,b} NULL', nested: { list: [1, null, 'x'] } })
      await store.append(one, [event], noStream)
      const [read] = await store.read(one)
      expect(read).toMatchObject({ ...event, stream: one })
    })

    it('refuses a wrong revision and writes nothing of that append', async () => {
      const one = stream()
      await store.append(one, [storedEvent()], noStream)
      await expect(store.append(one, [storedEvent()], noStream)).rejects.toBeInstanceOf(WrongRevision)
      await expect(store.append(one, [storedEvent()], 5)).rejects.toBeInstanceOf(WrongRevision)
      await expect(store.append(stream(), [storedEvent()], 0)).rejects.toBeInstanceOf(WrongRevision)
      expect(await store.read(one)).toHaveLength(1)
    })

    it('answers a retry of the same events at the same revision as the first time', async () => {
      const one = stream()
      const events = [storedEvent(), storedEvent()]
      const first = await store.append(one, events, noStream)
      await store.append(one, [storedEvent()], 1)
      expect(await store.append(one, events, noStream)).toEqual(first)
      expect(await store.read(one)).toHaveLength(3)
      await expect(store.append(one, [events[0]!, storedEvent()], noStream)).rejects.toBeInstanceOf(WrongRevision)
    })

    it('lets one of many that write at once to a stream win, and loses nothing of those that write elsewhere', async () => {
      const one = stream()
      const others = Array.from({ length: 40 }, stream)
      const results = await Promise.allSettled([
        ...Array.from({ length: 20 }, () => store.append(one, [storedEvent()], noStream)),
        ...others.map(other => store.append(other, [storedEvent(), storedEvent()], noStream)),
      ])
      expect(results.slice(0, 20).filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      expect(results.slice(20).every(({ status }) => status === 'fulfilled')).toBe(true)
      expect(await store.read(one)).toHaveLength(1)
      for (const other of others) expect(await store.read(other)).toHaveLength(2)
    })

    it('refuses an event that is too large before it is sent, and others do not notice', async () => {
      const one = stream()
      const large = store.append(one, [storedEvent('Tested', { text: 'x'.repeat(store.maxEventBytes) })], noStream)
      const small = store.append(stream(), [storedEvent()], noStream)
      await expect(large).rejects.toBeInstanceOf(EventTooLarge)
      await expect(small).resolves.toMatchObject({ revision: 0 })
      expect(await store.read(one)).toEqual([])
    })

    it('subscribes behind a position, in order, without gap or double, also to what is written meanwhile', async () => {
      const after = await store.head()
      const type = `Counted${randomUUID().slice(0, 8)}`
      const writing = (async () => {
        for (let n = 0; n < 60; n++) await Promise.all([0, 1, 2].map(() => store.append(stream(), [storedEvent(type)], noStream)))
      })()
      const slices = await until(store, { after, types: [type] }, seen => seen.flatMap(({ events }) => events).length >= 180)
      await writing
      const events = slices.flatMap(slice => slice.events)
      const positions = events.map(({ position }) => position)
      expect(new Set(events.map(({ id }) => id)).size).toBe(180)
      expect(positions).toEqual([...positions].sort((a, b) => a - b))
      expect(positions[0]).toBeGreaterThan(after)
      const resumed = await until(
        store,
        { after: positions[99]!, types: [type] },
        seen => seen.flatMap(slice => slice.events).length >= 80,
      )
      expect(resumed.flatMap(slice => slice.events).map(({ id }) => id)).toEqual(events.slice(100).map(({ id }) => id))
    })

    it('reports positions passed without a match, and that it has caught up', async () => {
      const { position } = await store.append(stream(), [storedEvent('Unwanted')], noStream)
      const slices = await until(
        store,
        { after: 0, types: ['NeverWritten'] },
        seen => seen.at(-1)!.caughtUp && seen.at(-1)!.passed >= position,
      )
      expect(slices.flatMap(({ events }) => events)).toEqual([])
      const passed = slices.map(slice => slice.passed)
      expect(passed).toEqual([...passed].sort((a, b) => a - b))
    })

    it('never shows an event behind a position that it has passed', async () => {
      const after = await store.head()
      const reading = new AbortController()
      let passed = after
      let seen = 0
      const watching = (async () => {
        for await (const slice of store.subscribe({ after, signal: reading.signal })) {
          for (const event of slice.events) expect(event.position).toBeGreaterThan(passed)
          passed = slice.passed
          seen += slice.events.length
          if (seen >= 300) break
        }
      })()
      await Promise.all(Array.from({ length: 300 }, () => store.append(stream(), [storedEvent()], noStream)))
      await watching
      reading.abort()
      expect(seen).toBe(300)
    })

    it('ends a subscription when its signal aborts', async () => {
      const reading = new AbortController()
      let ended = false
      for await (const { caughtUp } of store.subscribe({ after: 0, signal: reading.signal })) if (caughtUp) reading.abort()
      ended = true
      expect(ended).toBe(true)
    })
  })
}
