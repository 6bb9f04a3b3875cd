import { afterEach, expect, it, vi } from 'vitest'
import { InProcessBus } from '../../src/adapters/bus/in-process.ts'
import { Outgoing, type Transport } from '../../src/kernel/live/client.ts'
import { Hub } from '../../src/kernel/live/hub.ts'
import { Journal, type JournalRow, liveSubject, messageId } from '../../src/kernel/live/journal.ts'
import { type Database, sql } from '../../src/kernel/sql.ts'

const who = { accountId: 'ada', sessionId: 'one' }
const row = (seq: number): JournalRow => ({
  seq,
  position: seq,
  at: '2026-05-04T09:30:00.000Z',
  kind: 'account',
  key: who.accountId,
  type: 'told',
  ids: {},
})

/** A node over a journal that already has `rows` rows, all of which concern `who`. */
async function node(rows: number, open: (position: number) => boolean = () => true) {
  const journal = { rows: Array.from({ length: rows }, (_, index) => row(index + 1)) }
  const answer = (text: string, [after, until]: readonly unknown[]): unknown[] => {
    if (text.includes('min(seq)')) return [{ seq: journal.rows.length, position: journal.rows.length, oldest: 1 }]
    const behind = journal.rows.filter(({ seq }) => seq > Number(after))
    return text.includes('any(') ? behind.filter(({ seq }) => seq <= Number(until)) : behind
  }
  const db: Database = {
    run: () => Promise.reject(new Error('not asked here')),
    runCompiled: async <Row>(_: string, text: string, values: readonly unknown[]) => answer(text, values) as Row[],
    runArrays: () => Promise.reject(new Error('not asked here')),
    transaction: () => Promise.reject(new Error('not asked here')),
  }
  const bus = new InProcessBus(error => {
    throw error
  })
  const hub = new Hub({
    journal: new Journal(db, { journal: sql`journal`, head: sql`head` }),
    liveEpoch: '00000001',
    bus,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    followees: async () => [],
    hydrate: async rows =>
      rows.map(({ type, seq, at }) => new Outgoing({ id: messageId('00000001', seq), type, at, data: { seq } })),
    topic: async () => null,
    open: async (_, position) => open(position),
    clientsPerAccount: 10,
    heartbeatMs: 60_000,
  })
  await hub.start()
  hubs.push(hub)
  return { hub, journal, tell: (told: JournalRow) => bus.publish(liveSubject(told), told) }
}

const hubs: Hub[] = []
afterEach(async () => {
  for (const hub of hubs.splice(0)) await hub.stop()
})

function transport() {
  const got: string[] = []
  const closed: number[] = []
  const out: Transport = {
    send({ id }) {
      got.push(id ?? 'none')
      return null
    },
    offer() {},
    heartbeat() {},
    close: code => void closed.push(code),
  }
  return { got, closed, out }
}

it('who comes from a node that is ahead gets nothing twice from one that is behind', async () => {
  const { hub, journal, tell } = await node(5)
  journal.rows.push(row(6)) // committed, told to another node, not yet to this one
  const { got, out } = transport()
  await hub.connect(who, out, '00000001-6')
  tell(row(6))
  tell(row(7))
  await vi.waitFor(() => expect(got).toContain('00000001-7'))
  expect(got).toEqual(['00000001-7'])
})

it('a session that ends just as it connects is cut off, though the row that told it lies before the first that is told', async () => {
  const asked: number[] = []
  const { hub } = await node(5, position => {
    asked.push(position)
    return false
  })
  const { got, closed, out } = transport()
  await hub.connect(who, out, null)
  // It is told so, as by the row.
  expect(got).toEqual(['none'])
  expect(closed).toEqual([4401])
  expect(asked).toEqual([5])
})

it('a node that slept longer than the journal is kept sends its clients away, and goes on from what there is', async () => {
  const { hub, journal, tell } = await node(5)
  const one = transport()
  await hub.connect(who, one.out, null)
  journal.rows.splice(0, 5, ...[2_000, 2_001].map(row))
  tell(row(2_001))
  await vi.waitFor(() => expect(one.closed).toEqual([1012]))
  await vi.waitFor(() => expect(hub.lastEventId).toBe('00000001-2001'))
  expect(one.got).toEqual([])
})
