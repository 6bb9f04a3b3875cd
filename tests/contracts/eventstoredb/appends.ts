import { expect, vi } from 'vitest'
import { isTransient } from '../../../src/adapters/eventstore/eventstoredb.ts'
import { EventTooLarge, noStream, WrongRevision } from '../../../src/kernel/ports/event-store.ts'
import { storedEvent } from '../event-store.ts'
import { endsBadly } from './child.ts'
import { eventually, impatient, open, type Proofs, patience, rawClient, rawEvent, servers, stream, world } from './world.ts'

/** What a promise was rejected with. */
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => null,
    (error: unknown) => error,
  )

export const appendProofs: Proofs = {
  async 'an append whose answer was lost is written once and answered as the first time'() {
    const { server, store } = await world()
    const one = stream()
    const events = [storedEvent(), storedEvent()]
    server.loseAnswers = 1
    const appended = await store.append(one, events, noStream)
    expect(server.arrived.map(ids => ids.length)).toEqual([2, 2])
    expect(server.arrived[0]).toEqual(server.arrived[1])
    expect(server.log.stream(one).map(({ id }) => id)).toEqual(events.map(({ id }) => id))
    expect(appended).toEqual({ revision: 1, position: server.log.stream(one)[1]!.position })
  },

  async 'many appends under way when the connection breaks are all written once, and none ends the process'() {
    expect(await endsBadly('burst')).toMatch(/UNAVAILABLE|unhandled/i)
    const { server, store } = await world()
    const streams = Array.from({ length: 200 }, stream)
    const large = { text: 'x'.repeat(20_000) }
    const appending = streams.map(one => store.append(one, [storedEvent('Tested', large)], noStream))
    for (let breaks = 1; breaks <= 3; breaks++) {
      await eventually(() => server.arrived.length >= 40 * breaks)
      server.cable.disconnect()
    }
    const appended = await Promise.all(appending)
    for (const [index, one] of streams.entries()) {
      expect(server.log.stream(one).map(({ position }) => position)).toEqual([appended[index]!.position])
    }
  },

  async 'appends to a frozen server are rejected in time as transient, and work again when it does'() {
    const { server, store } = await world({ waits: impatient })
    const [one, other] = [stream(), stream()]
    await store.append(other, [storedEvent()], noStream)
    server.cable.freeze()
    const events = [storedEvent()]
    const error = await failure(store.append(one, events, noStream))
    expect(isTransient(error)).toBe(true)
    expect(isTransient(await failure(store.read(other)))).toBe(true)
    server.cable.thaw()
    await store.append(one, events, noStream)
    expect(server.log.stream(one)).toHaveLength(1)
  },

  async 'a node whose clock is a day behind appends'() {
    const { server, store } = await world()
    const now = Date.now
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => now() - 24 * 3_600_000)
    try {
      expect(await failure(rawClient(server.url).appendToStream(stream(), rawEvent()))).toMatchObject({
        type: 'deadline-exceeded',
      })
      await store.append(stream(), [storedEvent()], noStream)
    } finally {
      clock.mockRestore()
    }
  },

  async 'an append that is too large is not sent, and others do not notice'() {
    const { server, store } = await world()
    const raw = rawClient(server.url)
    server.mute = true
    const others = failure(raw.appendToStream(stream(), rawEvent()))
    await eventually(() => server.arrived.length === 1)
    await failure(raw.appendToStream(stream(), rawEvent('Tested', { text: 'x'.repeat(5_000_000) })))
    // As it is, it takes the others with it.
    expect(await others).not.toBeNull()
    server.mute = false
    server.arrived.length = 0

    const small = store.append(stream(), [storedEvent()], noStream)
    const half = { text: 'x'.repeat(600_000) }
    await expect(
      store.append(stream(), [storedEvent('Tested', { text: 'x'.repeat(5_000_000) })], noStream),
    ).rejects.toBeInstanceOf(EventTooLarge)
    await expect(
      store.append(stream(), [storedEvent('Tested', half), storedEvent('Tested', half)], noStream),
    ).rejects.toBeInstanceOf(EventTooLarge)
    await small
    expect(server.arrived).toHaveLength(1)
  },

  async 'data that is not JSON is refused before it is sent'() {
    expect(await endsBadly('bigint')).toMatch(/BigInt/)
    const { server, store } = await world()
    await expect(store.append(stream(), [storedEvent('Tested', { n: 1n })], noStream)).rejects.toBeInstanceOf(TypeError)
    expect(server.arrived).toEqual([])
  },

  async 'credentials stay off appends, so that they share one call'() {
    const [server] = await servers()
    const url = server!.url.replace('esdb://', 'esdb://admin:changeit@')
    await failure(
      rawClient(url).appendToStream(stream(), rawEvent(), { credentials: { username: 'admin', password: 'changeit' } }),
    )
    expect(server!.calls).toMatchObject({ append: 1, batchAppend: 0 })
    const store = await open(url)
    await Promise.all(Array.from({ length: 40 }, () => store.append(stream(), [storedEvent()], noStream)))
    expect(server!.calls).toMatchObject({ append: 1, batchAppend: 1 })
  },

  async 'a wrong revision is refused also where the connection string would have it returned'() {
    const [server] = await servers()
    const url = `${server!.url}&throwOnAppendFailure=false`
    expect(await rawClient(url).appendToStream(stream(), rawEvent(), { expectedRevision: 5n })).toMatchObject({ success: false })
    const store = await open(url)
    await expect(store.append(stream(), [storedEvent()], 5)).rejects.toBeInstanceOf(WrongRevision)
  },

  async 'one client of the process appends'() {
    const { server, store } = await world()
    const other = await open(server.url, { namespace: 'other_' })
    await Promise.all([store, other].map(each => each.append(stream(), [storedEvent()], noStream)))
    expect(server.openAppendCalls).toBe(1)
    const [elsewhere] = await servers()
    await expect(open(elsewhere!.url)).rejects.toThrow('one EventStoreDB')
    // What waits is kept for the whole process: the error of one client's call rejects another client's append.
    await store.close()
    await other.close()
    elsewhere!.mute = true
    const waiting = failure(rawClient(elsewhere!.url).appendToStream(stream(), rawEvent()))
    await eventually(() => elsewhere!.arrived.length === 1)
    const raw = rawClient(server.url)
    await raw.appendToStream(stream(), rawEvent())
    server.cable.disconnect()
    expect(await waiting).not.toBeNull()
  },

  async 'an appending call that the server ends without an error is replaced'() {
    const { server, store } = await world({ waits: { ...patience, attempt: 500, settle: 500 } })
    await store.append(stream(), [storedEvent()], noStream)
    server.end('appends')
    const one = stream()
    await store.append(one, [storedEvent()], noStream)
    expect(server.log.stream(one)).toHaveLength(1)
  },

  async 'an answer that is none is repeated'() {
    const { server, store } = await world()
    server.busy.push('not ready', 'timeout', 'timeout')
    const one = stream()
    await store.append(one, [storedEvent()], noStream)
    expect(server.arrived).toHaveLength(4)
    expect(server.log.stream(one)).toHaveLength(1)
  },

  async 'errors are told apart by type, code and message'() {
    const { server, store } = await world({ waits: impatient })
    server.busy.push('timeout')
    const timeout = await failure(rawClient(server.url).appendToStream(stream(), rawEvent()))
    expect(timeout).toMatchObject({ type: 'deadline-exceeded', message: '' })
    await server.cable.refuse()
    const refused = await failure(rawClient(server.url).appendToStream(stream(), rawEvent()))
    expect(refused).toMatchObject({ code: 14 })
    expect(refused).not.toHaveProperty('type')
    const undiscovered = await failure(
      rawClient(`${server.url.replace('?', ',127.0.0.1:1?')}&maxDiscoverAttempts=1`).appendToStream(stream(), rawEvent()),
    )
    expect(Object.keys(undiscovered as Error)).toEqual([])
    const given = await failure(store.append(stream(), [storedEvent()], noStream))
    for (const error of [timeout, refused, undiscovered, given]) expect(isTransient(error)).toBe(true)
    for (const error of [new TypeError('no'), new WrongRevision('a-1', 0), new EventTooLarge('large'), null])
      expect(isTransient(error)).toBe(false)
    await server.cable.listen()
    await store.append(stream(), [storedEvent()], noStream)
  },
}
