import { expect, it, vi } from 'vitest'
import { LiveClient, type Message } from '../../src/kernel/live/client.ts'
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

it('rows of one type that wait are read together and told one by one, in their order', async () => {
  const told: Message[] = []
  const together: number[] = []
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const client = new LiveClient(
    { accountId: 'ada', sessionId: 'one' },
    {
      async send(text) {
        told.push(JSON.parse(text))
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
        return rows.map(({ seq, type }) => (seq % 3 === 0 ? null : { type, data: { seq } }))
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
      async send(text) {
        told.push((JSON.parse(text) as Message).type)
        await room
      },
      offer: text => void offered.push(text),
      heartbeat() {},
      close: code => void closed.push(code),
    },
    {
      log: quiet,
      idOf: seq => `e-${seq}`,
      async hydrate(rows) {
        await late
        return rows.map(({ type }) => ({ type, data: {} }))
      },
    },
    () => {},
  )
  client.take(row(1, 'notification'))
  const out = client.signOut()
  hydrated()
  client.take(row(2, 'notification'))
  client.offer('{"type":"post.counts"}')
  await client.tell(row(3, 'notification'))
  await client.signOut()
  read()
  await out
  expect({ told, offered, closed }).toEqual({ told: ['session.revoked'], offered: [], closed: [4401] })
})
