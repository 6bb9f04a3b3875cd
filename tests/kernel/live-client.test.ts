import { expect, it, vi } from 'vitest'
import { LiveClient, type Message, Outgoing } from '../../src/kernel/live/client.ts'
import type { JournalRow } from '../../src/kernel/live/journal.ts'
import type { Log } from '../../src/kernel/ports/log.ts'

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} }

const row = (seq: number, type: string): JournalRow => ({
  seq,
  position: seq,
  at: '2026-01-01T00:00:00.000Z',
  kind: 'account',
  key: 'ada',
  type,
  ids: {},
})

const outgoing = ({ seq, at, type }: JournalRow): Outgoing => new Outgoing({ id: `e-${seq}`, at, type, data: { seq } })

it('rows of one type that wait are read together and told one by one, in their order', async () => {
  const told: Message[] = []
  const together: number[] = []
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const client = new LiveClient(
    { accountId: 'ada', sessionId: 'one' },
    {
      send({ text }) {
        told.push(JSON.parse(text))
        return null
      },
      offer() {},
      heartbeat() {},
      close() {},
    },
    {
      log: quiet,
      idOf: seq => `e-${seq}`,
      async hydrate(rows) {
        together.push(rows.length)
        await gate
        // Every third has nothing to tell any more.
        return rows.map(told => (told.seq % 3 === 0 ? null : outgoing(told)))
      },
    },
    () => {},
  )
  for (let seq = 1; seq <= 300; seq++) client.take(row(seq, seq === 150 ? 'feed.post' : 'notification'))
  open()
  await vi.waitFor(() => expect(told.at(-1)?.id).toBe('e-299'))
  expect(told.map(({ id }) => id)).toEqual(
    Array.from({ length: 300 }, (_, n) => n + 1)
      .filter(seq => seq % 3 !== 0)
      .map(seq => `e-${seq}`),
  )
  expect(Math.max(...together)).toBe(50)
  expect(together.length).toBeLessThan(12)
})

it('whoever is signed out is told nothing else, also while they are slow to read that', async () => {
  const told: string[] = []
  const offered: string[] = []
  const closed: number[] = []
  const { promise: room, resolve: read } = Promise.withResolvers<void>()
  const { promise: late, resolve: hydrated } = Promise.withResolvers<void>()
  const client = new LiveClient(
    { accountId: 'ada', sessionId: 'one' },
    {
      send({ text }) {
        told.push((JSON.parse(text) as Message).type)
        return room
      },
      offer: ({ text }) => void offered.push(text),
      heartbeat() {},
      close: code => void closed.push(code),
    },
    {
      log: quiet,
      idOf: seq => `e-${seq}`,
      async hydrate(rows) {
        await late
        return rows.map(outgoing)
      },
    },
    () => {},
  )
  client.take(row(1, 'notification'))
  const out = client.signOut()
  hydrated()
  client.take(row(2, 'notification'))
  client.offer(new Outgoing({ type: 'post.counts', at: '', data: {} }))
  await client.tell(row(3, 'notification'))
  await client.signOut()
  read()
  await out
  expect({ told, offered, closed }).toEqual({ told: ['session.revoked'], offered: [], closed: [4401] })
})

it('one who does not read is cut off, and until then no row is looked up for them', async () => {
  vi.useFakeTimers()
  try {
    const closed: number[] = []
    let hydrated = 0
    const client = new LiveClient(
      { accountId: 'ada', sessionId: 'one' },
      { send: () => new Promise(() => {}), offer() {}, heartbeat() {}, close: code => void closed.push(code) },
      {
        log: quiet,
        idOf: seq => `e-${seq}`,
        async hydrate(rows) {
          hydrated += rows.length
          return rows.map(outgoing)
        },
      },
      () => {},
    )
    client.take(row(1, 'notification'))
    await vi.advanceTimersByTimeAsync(29_000)
    client.take(row(2, 'notification'))
    await vi.advanceTimersByTimeAsync(500)
    expect({ closed, hydrated }).toEqual({ closed: [], hydrated: 1 })
    await vi.advanceTimersByTimeAsync(1_000)
    expect({ closed, hydrated }).toEqual({ closed: [4408], hydrated: 1 })
  } finally {
    vi.useRealTimers()
  }
})
