import { randomUUID } from 'node:crypto'
import { afterEach, expect, it, vi } from 'vitest'
import { isTransient } from '../../src/adapters/postgres/database.ts'
import { Codec } from '../../src/kernel/codec.ts'
import { Positions, positionsOf } from '../../src/kernel/consistency.ts'
import { decider, streamName } from '../../src/kernel/decider.ts'
import { type EventOf, type EventType, eventType } from '../../src/kernel/events.ts'
import { createExecute } from '../../src/kernel/execute.ts'
import type { Bus } from '../../src/kernel/ports/bus.ts'
import type { EventStore } from '../../src/kernel/ports/event-store.ts'
import type { Log } from '../../src/kernel/ports/log.ts'
import type { Consumer } from '../../src/kernel/projecting/consumer.ts'
import { modelConsumer } from '../../src/kernel/projecting/consumers.ts'
import { advance, registerConsumers } from '../../src/kernel/projecting/leases.ts'
import { readModel } from '../../src/kernel/projecting/model.ts'
import { rebuild } from '../../src/kernel/projecting/rebuild.ts'
import { Runner } from '../../src/kernel/projecting/runner.ts'
import { verify } from '../../src/kernel/projecting/verify.ts'
import { rows } from '../../src/kernel/rows.ts'
import { sql } from '../../src/kernel/sql.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'

const Counted = eventType<'Counted', { id: string; by: number }>('Counted')
type Counted = EventOf<typeof Counted>

const counter = decider<{ total: number }, { id: string; by: number }, Counted>({
  initial: { total: 0 },
  evolve: (state, event) => ({ total: state.total + event.data.by }),
  decide: ({ id, by }) => (by === 0 ? [] : [Counted({ id, by })]),
})

let poison: string | null = null
let gate: Promise<void> | null = null

const counters = readModel<Counted>()({
  name: 'counters',
  version: 1,
  events: [Counted],
  tables: {
    seen: { columns: 'event uuid primary key, id uuid not null, amount int not null', indexes: ['(id)'] },
    totals: { columns: 'id uuid primary key, total bigint not null' },
  },
  async project(batch, tx, t) {
    await gate
    if (batch.some(event => event.id === poison || event.data.by === 666)) throw new Error('a bad event')
    await tx.run(sql`
      with come as (
        insert into ${t.seen} select event, id, amount from ${rows(
          'said',
          { event: 'uuid', id: 'uuid', amount: 'int' },
          batch.map(({ id, data }) => ({ event: id, id: data.id, amount: data.by })),
        )}
        on conflict do nothing returning id, amount
      )
      insert into ${t.totals} as c select id, sum(amount) from come group by id on conflict (id) do update set total = c.total + excluded.total`)
  },
})

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} }
const actor = { id: null, sessionId: null, correlationId: 'test' }

let opened: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const part of opened.reverse()) await part.stop()
  opened = []
  poison = null
  gate = null
})

async function start(): Promise<{
  kernel: TestKernel
  bus: Bus
  positions: Positions
  runner: (others?: readonly Consumer[]) => Promise<Runner>
}> {
  const kernel = await testKernel([counters], [Counted as unknown as EventType])
  const { bus } = kernel
  const positions = new Positions(kernel.db, bus)
  await registerConsumers(kernel.db, [{ key: counters.key, from: 'beginning' }], 0)
  opened.push({ stop: () => kernel.close() }, { stop: () => positions.close() })
  return {
    kernel,
    bus,
    positions,
    async runner(others = []) {
      const consumer = modelConsumer(counters, kernel.codec, kernel.db, bus)
      const runner = new Runner({ store: kernel.store, db: kernel.db, bus, log: quiet, holder: randomUUID(), isTransient }, [
        consumer,
        ...others,
      ])
      await runner.start()
      opened.push(runner)
      return runner
    },
  }
}

const total = async (kernel: TestKernel, id: string): Promise<number> =>
  (await kernel.db.run<{ total: number }>(sql`select total from ${counters.t.totals} where id = ${id}`))[0]?.total ?? 0

it('projects what commands write, and a position awaited is a position seen', async () => {
  const { kernel, positions, runner } = await start()
  const execute = createExecute(kernel.store, kernel.codec, { now: Date.now })
  const id = randomUUID()
  for (let n = 0; n < 5; n++) await execute(counter, streamName('counter', id), { id, by: 1 }, actor)
  await runner()
  for (let n = 1; n <= 20; n++) {
    const { position } = await execute(counter, streamName('counter', id), { id, by: 2 }, actor)
    await positions.wait([counters.key], position)
    expect(await total(kernel, id)).toBe(5 + 2 * n)
  }
  const done = await Promise.all(
    Array.from({ length: 200 }, () => execute(counter, streamName('counter', randomUUID()), { id, by: 1 }, actor)),
  )
  await positions.wait([counters.key], Math.max(...done.map(({ position }) => position)))
  expect(await total(kernel, id)).toBe(245)
  await vi.waitFor(async () => expect((await positionsOf(kernel.db)).get(counters.key)).toBeGreaterThanOrEqual(done[0]!.position))
})

it('a model without an event to project is as far as the log', async () => {
  const { kernel, positions, runner } = await start()
  await runner()
  const { position } = await kernel.store.append(
    'other-1',
    [
      {
        id: randomUUID(),
        type: 'Other',
        data: {},
        metadata: { at: '', actorId: null, sessionId: null, correlationId: '', causationId: null, schemaVersion: 1 },
      },
    ],
    -1,
  )
  // The dispatcher reads the types of its consumers alone: what does not match counts as passed.
  await positions.wait([counters.key], position)
})

it('a model that was busy while others’ events passed is as far as the log once it is done', async () => {
  const { kernel, positions, runner } = await start()
  const execute = createExecute(kernel.store, kernel.codec, { now: Date.now })
  const id = randomUUID()
  await runner()
  const before = await execute(counter, streamName('counter', id), { id, by: 1 }, actor)
  await positions.wait([counters.key], before.position)
  let open = (): void => {}
  gate = new Promise(resolve => {
    open = resolve
  })
  await execute(counter, streamName('counter', id), { id, by: 1 }, actor)
  const metadata = { at: '', actorId: null, sessionId: null, correlationId: '', causationId: null, schemaVersion: 1 }
  const { position } = await kernel.store.append('other-1', [{ id: randomUUID(), type: 'Other', data: {}, metadata }], -1)
  await vi.waitFor(async () =>
    expect((await kernel.db.run<{ position: number }>(sql`select position from kernel.runs`))[0]?.position).toBe(position),
  )
  open()
  await positions.wait([counters.key], position)
})

it('hands a consumer to one process at a time, and on when that stops', async () => {
  const { kernel, positions, runner } = await start()
  const execute = createExecute(kernel.store, kernel.codec, { now: Date.now })
  const id = randomUUID()
  const one = await runner()
  await runner()
  const first = await execute(counter, streamName('counter', id), { id, by: 1 }, actor)
  await positions.wait([counters.key], first.position)
  await one.stop()
  const second = await execute(counter, streamName('counter', id), { id, by: 1 }, actor)
  await positions.wait([counters.key], second.position)
  expect(await total(kernel, id)).toBe(2)
})

it('a process whose lease was taken writes nothing any more', async () => {
  const { kernel, positions, runner } = await start()
  const execute = createExecute(kernel.store, kernel.codec, { now: Date.now })
  const id = randomUUID()
  await runner()
  const first = await execute(counter, streamName('counter', id), { id, by: 1 }, actor)
  await positions.wait([counters.key], first.position)
  const thief = randomUUID()
  await kernel.db.run(
    sql`update kernel.consumers set holder = ${thief}, fence = fence + 1, lease_until = now() + interval '1 hour'`,
  )
  const { position } = await execute(counter, streamName('counter', id), { id, by: 1 }, actor)
  await expect(positions.wait([counters.key], position, 500)).rejects.toMatchObject({ code: 'read_model_behind' })
  expect(await total(kernel, id)).toBe(1)
  await kernel.db.run(sql`update kernel.consumers set holder = null, lease_until = '-infinity'`)
  await positions.wait([counters.key], position)
  expect(await total(kernel, id)).toBe(2)
})

it('takes a consumer over from a process that froze in the middle of a batch, whose rows and checkpoint never come', async () => {
  const { kernel, positions, runner } = await start()
  const execute = createExecute(kernel.store, kernel.codec, { now: Date.now })
  const id = randomUUID()
  const frozen = randomUUID()
  const { promise: ice, resolve: thaw } = Promise.withResolvers<void>()
  await kernel.db.run(sql`update kernel.consumers set holder = ${frozen}, fence = 1, lease_until = now() - interval '1 s'`)
  const batch = kernel.db.transaction(async tx => {
    await advance(tx, counters.key, { holder: frozen, fence: 1 }, 0, 1_000)
    await tx.run(sql`insert into ${counters.t.totals} (id, total) values (${randomUUID()}, 7)`)
    await ice
    await tx.run(sql`select 1`)
  })
  const failed = expect(batch).rejects.toSatisfy(isTransient)
  await runner()
  const { position } = await execute(counter, streamName('counter', id), { id, by: 1 }, actor)
  await positions.wait([counters.key], position, 15_000)
  thaw()
  await failed
  expect(await kernel.db.run(sql`select id from ${counters.t.totals}`)).toEqual([{ id }])
})

it('shares consumers out among processes, and hands over to one that comes', async () => {
  const { kernel, runner } = await start()
  const others = Array.from({ length: 5 }, (_, n) => `other_${n}`)
  await registerConsumers(
    kernel.db,
    others.map(key => ({ key, from: 'beginning' as const })),
    0,
  )
  const idle = others.map(key => ({ key, types: ['None'], from: 'beginning' as const, apply: async () => {} }))
  const held = async (): Promise<number[]> =>
    (
      await kernel.db.run<{ count: number }>(
        sql`select count(*) as count from kernel.consumers where holder is not null group by holder order by 1`,
      )
    ).map(({ count }) => count)
  const one = await runner(idle)
  await vi.waitFor(async () => expect(await held()).toEqual([6]), { timeout: 10_000 })
  const two = await runner(idle)
  await vi.waitFor(async () => expect(await held()).toEqual([3, 3]), { timeout: 10_000 })
  await runner(idle)
  await vi.waitFor(async () => expect(await held()).toEqual([2, 2, 2]), { timeout: 10_000 })
  await Promise.all([one.stop(), two.stop()])
  await vi.waitFor(async () => expect(await held()).toEqual([6]), { timeout: 10_000 })
})

it('stops at the one bad event of a batch, loudly, having done all before it, and goes on when told', async () => {
  const { kernel, positions, runner } = await start()
  const execute = createExecute(kernel.store, kernel.codec, { now: Date.now })
  const id = randomUUID()
  const done = []
  for (let n = 0; n < 50; n++) done.push(await execute(counter, streamName('counter', id), { id, by: 1 }, actor))
  const bad = (await kernel.store.read(streamName('counter', id)))[30]
  poison = bad!.id
  await runner()
  await vi.waitFor(async () => {
    const [row] = await kernel.db.run<{ state: string; error: { id: string } }>(sql`select state, error from kernel.consumers`)
    expect(row).toMatchObject({ state: 'paused', error: { id: bad!.id } })
  })
  expect(await total(kernel, id)).toBe(30)
  await expect(positions.wait([counters.key], done[30]!.position, 300)).rejects.toMatchObject({ code: 'read_model_behind' })
  poison = null
  await kernel.db.run(sql`update kernel.consumers set state = 'running'`)
  await positions.wait([counters.key], done[49]!.position)
  expect(await total(kernel, id)).toBe(50)
})

it('leaves a consumer that meets a newer event to a process that knows it, without an alarm', async () => {
  const { kernel, bus, positions, runner } = await start()
  const id = randomUUID()
  await runner()
  const metadata = { at: '', actorId: null, sessionId: null, correlationId: '', causationId: null, schemaVersion: 2 }
  const newer = { id: randomUUID(), type: 'Counted', data: { id, amount: 7 }, metadata }
  const { position } = await kernel.store.append(streamName('counter', id), [newer], -1)
  const standing = async () =>
    (await kernel.db.run<{ state: string; holder: string | null }>(sql`select state, holder from kernel.consumers`))[0]
  await vi.waitFor(async () => expect(await standing()).toEqual({ state: 'waiting_for_upgrade', holder: null }), 10_000)
  const CountedNow = eventType<'Counted', { id: string; by: number }>('Counted', {
    version: 3,
    upcasts: { 1: data => data, 2: ({ amount, ...data }) => ({ ...data, by: amount }) },
  })
  const codec = new Codec([CountedNow as unknown as EventType], kernel.keys)
  const next = new Runner({ store: kernel.store, db: kernel.db, bus, log: quiet, holder: randomUUID(), isTransient }, [
    modelConsumer(counters, codec, kernel.db, bus),
  ])
  await next.start()
  opened.push(next)
  await positions.wait([counters.key], position, 15_000)
  expect(await total(kernel, id)).toBe(7)
  expect((await standing())?.state).toBe('running')
})

it('rebuilds beside the live model while it is written, and verify finds them equal', async () => {
  const { kernel, positions, runner } = await start()
  const execute = createExecute(kernel.store, kernel.codec, { now: Date.now })
  const ids = Array.from({ length: 10 }, () => randomUUID())
  await runner()
  let writing = true
  let last = 0
  const writer = (async () => {
    for (let n = 0; writing || n < 300; n++) {
      const id = ids[n % 10]!
      last = Math.max(last, (await execute(counter, streamName('counter', id), { id, by: n % 7 || 1 }, actor)).position)
    }
  })()
  const progress: number[] = []
  for (let n = 0; n < 3; n++) await rebuild(kernel, counters, ({ position }) => progress.push(position))
  writing = false
  await writer
  await positions.wait([counters.key], last)
  expect(progress.length).toBeGreaterThan(0)
  expect(await verify(kernel, counters)).toMatchObject({ differences: [], more: 0 })
  await kernel.db.run(sql`update ${counters.t.totals} set total = total + 1 where id = ${ids[3]!}`)
  const drift = await verify(kernel, counters)
  expect(drift.differences).toHaveLength(2)
  expect(drift.differences[0]).toMatchObject({ table: 'totals', side: 'live only', row: { id: ids[3] } })
  await rebuild(kernel, counters)
  expect(await verify(kernel, counters)).toMatchObject({ differences: [] })
})

it.each([
  ['while it fills', 1],
  ['before it swaps', 2],
])('a rebuild that another took over %s neither swaps nor touches what is the other’s', async (_, nth) => {
  const { kernel } = await start()
  const execute = createExecute(kernel.store, kernel.codec, { now: Date.now })
  const id = randomUUID()
  await execute(counter, streamName('counter', id), { id, by: 1 }, actor)
  const other = randomUUID()
  let looks = 0
  const store: EventStore = {
    maxEventBytes: kernel.store.maxEventBytes,
    positionsPerEvent: 1,
    append: (...given) => kernel.store.append(...given),
    read: stream => kernel.store.read(stream),
    subscribe: subscription => kernel.store.subscribe(subscription),
    close: () => kernel.store.close(),
    async head() {
      if (++looks === nth) await kernel.db.run(sql`update kernel.rebuilds set holder = ${other}`)
      return kernel.store.head()
    },
  }
  await expect(rebuild({ ...kernel, store }, counters)).rejects.toThrow('took over')
  expect(await total(kernel, id)).toBe(0)
  expect(await kernel.db.run(sql`select holder from kernel.rebuilds`)).toEqual([{ holder: other }])
  expect(await kernel.db.run(sql`select nspname from pg_namespace where nspname = ${`${counters.key}_next`}`)).toHaveLength(1)
})
