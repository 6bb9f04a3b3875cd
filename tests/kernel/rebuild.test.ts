import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { type EventOf, type EventType, eventType } from '../../src/kernel/events.ts'
import { newEpochs } from '../../src/kernel/migrate.ts'
import { type EventStore, noStream } from '../../src/kernel/ports/event-store.ts'
import { registerConsumers } from '../../src/kernel/projecting/leases.ts'
import { type ReadModel, readModel } from '../../src/kernel/projecting/model.ts'
import { changesTable } from '../../src/kernel/projecting/notes.ts'
import { rebuild } from '../../src/kernel/projecting/rebuild.ts'
import { claimed, dropAbandoned } from '../../src/kernel/projecting/scratch.ts'
import { verify } from '../../src/kernel/projecting/verify.ts'
import { rows } from '../../src/kernel/rows.ts'
import { sql } from '../../src/kernel/sql.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'

const Counted = eventType<'Counted', { n: number }>('Counted')
type Counted = EventOf<typeof Counted>

/** What happens before a batch is written. */
let before: (n: number) => Promise<void> = async () => {}

const counted = (indexes: readonly string[]): ReadModel =>
  readModel<Counted>()({
    name: 'counted',
    version: 1,
    events: [Counted],
    tables: { numbers: { columns: 'event uuid primary key, n int not null', indexes } },
    async project(batch, tx, t) {
      await before(batch[0]!.data.n)
      const items = batch.map(({ id, data }) => ({ event: id, n: data.n }))
      await tx.run(
        sql`insert into ${t.numbers} select event, n from ${rows('said', { event: 'uuid', n: 'int' }, items)} on conflict do nothing`,
      )
    },
  })
const model = counted(['(n)'])

/** What happens before the rest is derived. */
let deriving: () => Promise<void> = async () => {}

/** Has the halves of even numbers, which need not be written while it is filled. */
const halved: ReadModel = readModel<Counted>()({
  name: 'halved',
  version: 1,
  events: [Counted],
  tables: {
    numbers: { columns: 'event uuid primary key, n int not null' },
    halves: { columns: 'half int primary key' },
    changes: changesTable,
  },
  changes: ({ id, position }) => [{ key: id, owner: false, position }],
  async project(batch, tx, t, filling) {
    const said = rows(
      'said',
      { event: 'uuid', n: 'int' },
      batch.map(({ id, data }) => ({ event: id, n: data.n })),
    )
    await tx.run(sql`insert into ${t.numbers} select event, n from ${said} on conflict do nothing`)
    if (!filling) await tx.run(sql`insert into ${t.halves} select n / 2 from ${said} where n % 2 = 0 on conflict do nothing`)
  },
  async derive(tx, t) {
    await deriving()
    await tx.run(sql`insert into ${t.halves} select n / 2 from ${t.numbers} where n % 2 = 0`)
  },
})
const half = 6_000

let kernel: TestKernel
beforeAll(async () => {
  kernel = await testKernel([model, halved], [Counted as unknown as EventType])
  for (let n = 0; n < 2 * half; n += 1_000) await append(Array.from({ length: 1_000 }, (_, index) => n + index))
  await registerConsumers(kernel.db, [model, halved], await kernel.store.head())
  await newEpochs(kernel.db)
})
afterAll(() => kernel.close())

async function append(numbers: readonly number[]): Promise<void> {
  const sealed = await kernel.codec.seal(
    numbers.map(n => Counted({ n })),
    { at: new Date().toISOString(), correlationId: 'test', causationId: null, actorId: null, sessionId: null },
  )
  await kernel.store.append(`counter-${numbers[0]}`, sealed, noStream)
}

beforeEach(() => {
  before = async () => {}
})

/** The log, but for what is done otherwise. */
const storeWith = (otherwise: Partial<EventStore>): EventStore => ({
  maxEventBytes: kernel.store.maxEventBytes,
  positionsPerEvent: kernel.store.positionsPerEvent,
  append: (...given) => kernel.store.append(...given),
  read: stream => kernel.store.read(stream),
  subscribe: subscription => kernel.store.subscribe(subscription),
  head: () => kernel.store.head(),
  close: () => kernel.store.close(),
  ...otherwise,
})

const schemas = async (like: string): Promise<string[]> =>
  (await kernel.db.run<{ name: string }>(sql`select nspname as name from pg_namespace where nspname like ${like}`)).map(
    ({ name }) => name,
  )

/** Ends on its way, with one batch written. */
async function ended(): Promise<number> {
  before = async n => {
    if (n > 0) throw new Error('the power is gone')
  }
  let last = 0
  const going = rebuild(kernel, model, ({ position }) => (last = position), 'restart')
  await expect(going).rejects.toThrow('the power is gone')
  before = async () => {}
  expect(last).toBeGreaterThan(0)
  return last
}

it('goes on where one before it ended, and makes the same', async () => {
  const at = await ended()
  const head = await kernel.store.head()
  const { from, position, events } = await rebuild(kernel, model)
  expect(from).toBe(at)
  // On a log that is shared others write meanwhile.
  expect(position).toBeGreaterThanOrEqual(head)
  expect(position).toBeLessThanOrEqual(await kernel.store.head())
  expect(events).toBeGreaterThan(0)
  expect(events).toBeLessThanOrEqual(2 * half - 5_000)
  expect(await verify(kernel, model)).toMatchObject({ rows: 2 * half, differences: [], more: 0 })
  expect(await kernel.db.run(sql`select key from kernel.rebuilds`)).toEqual([])
  expect(await kernel.db.run(sql`select indexdef from pg_indexes where schemaname = ${model.key}`)).toHaveLength(2)
})

it.each<[string, () => Promise<{ from: number }>]>([
  ['it is told to', () => rebuild(kernel, model, () => {}, 'restart')],
  ['the tables are others', () => rebuild(kernel, counted(['(n, event)']))],
  [
    'the log is another',
    async () => {
      await newEpochs(kernel.db)
      return rebuild(kernel, model)
    },
  ],
  [
    'the log is shorter than what was filled from it',
    async () => {
      await kernel.db.run(sql`update kernel.rebuilds set position = position * 1000`)
      return rebuild(kernel, model)
    },
  ],
  [
    'what it filled is gone',
    async () => {
      await kernel.db.run(sql.raw(`drop schema ${model.key}_next cascade`))
      return rebuild(kernel, model)
    },
  ],
])('begins anew where %s', async (_, again) => {
  await ended()
  expect((await again()).from).toBe(0)
  expect(await verify(kernel, model)).toMatchObject({ rows: 2 * half, differences: [], more: 0 })
})

it('runs once at a time, and says so', async () => {
  const { promise: beginning, resolve: begun } = Promise.withResolvers<void>()
  const { promise: ending, resolve: end } = Promise.withResolvers<void>()
  const store = storeWith({
    async head() {
      begun()
      await ending
      return kernel.store.head()
    },
  })
  const one = rebuild({ ...kernel, store }, model)
  await beginning
  await expect(rebuild(kernel, model)).rejects.toThrow(`A rebuild of ${model.key} is under way already`)
  end()
  expect(await one).toMatchObject({ from: 0 })
})

it('is prolonged by each batch: the timer may never find its row free', async () => {
  const key = `${model.key}_verify_long`
  await claimed(kernel.db, key, async claim => {
    await kernel.db.transaction(async tx => {
      await tx.run(sql`update kernel.rebuilds set lease_until = now() - interval '1 hour' where key = ${key}`)
      await claim.hold(tx)
    })
    expect(await dropAbandoned(kernel.db)).toEqual([])
    await kernel.db.transaction(tx => claim.hold(tx))
  })
  await kernel.db.run(sql`delete from kernel.rebuilds where key = ${key}`)
})

it('tells of what cannot be written though the log has nothing more to read', async () => {
  let read = 0
  const store = storeWith({
    // As one that waits for a server that is away.
    async *subscribe(subscription) {
      for await (const slice of kernel.store.subscribe(subscription)) {
        yield slice
        read += slice.events.length
        if (read >= 6_000) break
      }
      const { signal } = subscription
      if (!signal.aborted) await once(signal, 'abort')
    },
  })
  before = async () => {
    throw new Error('the disk is gone')
  }
  await expect(rebuild({ ...kernel, store }, model, () => {}, 'restart')).rejects.toThrow('the disk is gone')
  before = async () => {}
  await rebuild(kernel, model)
})

it('is verified by several at once, and nothing of them stays', async () => {
  const verdicts = await Promise.all([1, 2, 3].map(() => verify(kernel, model)))
  for (const verdict of verdicts) expect(verdict).toMatchObject({ rows: 2 * half, differences: [], more: 0 })
  expect(await schemas('%\\_verify\\_%')).toEqual([])
  expect(await kernel.db.run(sql`select key from kernel.rebuilds`)).toEqual([])
})

it('is dropped half made when nobody has gone on with it for a day; copies of a verification that died after a minute', async () => {
  await ended()
  const dead = `${model.key}_verify_${randomUUID().slice(0, 8)}`
  for (const schema of [`${dead}_live`, `${dead}_log`]) await kernel.db.run(sql`create schema ${sql.id(schema)}`)
  const later = (key: string, by: string) =>
    kernel.db.run(sql`
      insert into kernel.rebuilds (key, holder, position, target, lease_until) values (${key}, ${randomUUID()}, 0, 0, now() - ${by}::interval)
      on conflict (key) do update set lease_until = excluded.lease_until`)
  await later(model.key, '23 h')
  await later(dead, '50 s')
  expect(await dropAbandoned(kernel.db)).toEqual([])
  expect(await schemas('%\\_next')).toHaveLength(1)
  await later(model.key, '25 h')
  await later(dead, '70 s')
  expect((await dropAbandoned(kernel.db)).sort()).toEqual([model.key, dead].sort())
  expect(await schemas('%\\_next')).toEqual([])
  expect(await schemas('%\\_verify\\_%')).toEqual([])
})

it('begins without notes, and tells Postgres nothing of how few there are', async () => {
  await rebuild(kernel, halved)
  const [row] = await kernel.db.run<{ notes: number; known: number }>(sql`
    select (select count(*)::int from ${sql.raw(`${halved.key}.changes`)}) as notes, reltuples::int as known
    from pg_class where oid = ${`${halved.key}.changes`}::regclass`)
  expect(row).toEqual({ notes: 0, known: -1 })
})

it('leaves to the end what follows from the rest, and writes all of what comes after that', async () => {
  deriving = async () => {
    throw new Error('the power is gone')
  }
  await expect(rebuild(kernel, halved)).rejects.toThrow('the power is gone')
  deriving = async () => {}
  const { from } = await rebuild(kernel, halved)
  expect(from).toBeGreaterThan(0)
  expect(await verify(kernel, halved)).toMatchObject({ rows: 3 * half, differences: [], more: 0 })

  // More than a swap does by itself, on every engine.
  let late = 2 * half
  const numbers = 2 * half + 8_000
  deriving = async () => {
    for (; late < numbers; late += 500) await append(Array.from({ length: 500 }, (_, index) => late + index))
  }
  await rebuild(kernel, halved)
  deriving = async () => {}
  expect(late).toBe(numbers)
  expect(await verify(kernel, halved)).toMatchObject({ differences: [], more: 0 })
  const [row] = await kernel.db.run<{ halves: number }>(sql.raw(`select count(*) as halves from ${halved.key}.halves`))
  expect(row!.halves).toBe(numbers / 2)
})
