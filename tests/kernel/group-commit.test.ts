import { randomUUID } from 'node:crypto'
import { afterEach, expect, it, vi } from 'vitest'
import { type EventOf, type EventType, eventType, type LoggedEvent } from '../../src/kernel/events.ts'
import type { Lease } from '../../src/kernel/projecting/consumer.ts'
import { modelConsumer } from '../../src/kernel/projecting/consumers.ts'
import { GroupCommit } from '../../src/kernel/projecting/group-commit.ts'
import { advance, registerConsumers, takeLease } from '../../src/kernel/projecting/leases.ts'
import { readModel } from '../../src/kernel/projecting/model.ts'
import { type Database, type Db, sql, together } from '../../src/kernel/sql.ts'
import { testKernel } from '../support/kernel.ts'

const Told = eventType<'Told', { id: string }>('Told')
const Erased = eventType<'Erased', { id: string }>('Erased')

const ending: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0)) await end()
})

/** A database that counts its transactions, and a table. */
async function setUp() {
  const { db, codec, bus, close } = await testKernel([], [Told, Erased] as unknown as EventType[])
  ending.push(close)
  await db.run(sql`create table written (name text primary key)`)
  let transactions = 0
  const parted: unknown[] = []
  const counted: Pick<Database, 'transaction'> = {
    transaction: (work, isolation) => {
      transactions++
      return db.transaction(work, isolation)
    },
  }
  const write =
    (...names: string[]) =>
    async (tx: Db): Promise<string> => {
      for (const name of names) await tx.run(sql`insert into written (name) values (${name})`)
      return names.join()
    }
  return {
    ...{ db, codec, bus, parted },
    commits: new GroupCommit(counted, error => parted.push(error)),
    write,
    transactions: () => transactions,
    written: async () => (await db.run<{ name: string }>(sql`select name from written order by name`)).map(({ name }) => name),
  }
}

it('what is ready in one turn is one transaction, and each gets its own answer', async () => {
  const { commits, write, transactions, written } = await setUp()
  const answers = await Promise.all([commits.transaction(write('a')), commits.transaction(write('b', 'c'))])
  expect(answers).toEqual(['a', 'b,c'])
  expect(transactions()).toBe(1)
  expect(await commits.transaction(write('d'))).toBe('d')
  expect(transactions()).toBe(2)
  expect(await written()).toEqual(['a', 'b', 'c', 'd'])
})

it('what failed is told, however deeply it is awaited, not what Postgres refused after it', async () => {
  const { db } = await setUp()
  const awaited = async (deep: number, work: () => Promise<unknown>): Promise<unknown> =>
    deep === 0 ? work() : await awaited(deep - 1, work)
  const failing = (tx: Db) => together([awaited(9, () => tx.run(sql`select 1 / 0`)), tx.run(sql`select 1`)])
  for (let n = 0; n < 20; n++) await expect(db.transaction(failing)).rejects.toMatchObject({ code: '22012' })
})

it('one that fails fails alone: what was undone with it is written again by itself', async () => {
  const { commits, write, transactions, written, parted } = await setUp()
  const [good, bad, late] = await Promise.allSettled([
    commits.transaction(write('a')),
    commits.transaction(write('b', 'b')),
    commits.transaction(async () => Promise.reject(new Error('cannot be projected'))),
  ])
  expect(good).toMatchObject({ status: 'fulfilled', value: 'a' })
  expect(bad).toMatchObject({ status: 'rejected', reason: { code: '23505' } })
  expect(late).toMatchObject({ status: 'rejected', reason: { message: 'cannot be projected' } })
  expect(transactions()).toBe(4)
  expect(parted).toMatchObject([{ message: 'cannot be projected' }])
  expect(await written()).toEqual(['a'])
})

it('one that waits for a lock waits alone', async () => {
  const { commits, write, written, db } = await setUp()
  await db.run(sql`create table held (name text primary key)`)
  const { promise: locked, resolve: hold } = Promise.withResolvers<void>()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const holding = db.transaction(async tx => {
    await tx.run(sql`lock table held`)
    hold()
    await released
  })
  await locked
  const waits = commits.transaction(async tx => void (await tx.run(sql`insert into held (name) values ('b')`)))
  expect(await commits.transaction(write('a'))).toBe('a')
  expect(await written()).toEqual(['a'])
  release()
  await Promise.all([holding, waits])
  expect(await db.run(sql`select name from held`)).toEqual([{ name: 'b' }])
})

it('one whose connection is lost fails alone', async () => {
  const { commits, write, transactions, written } = await setUp()
  const ended = async (tx: Db): Promise<void> => void (await tx.run(sql`select pg_terminate_backend(pg_backend_pid())`))
  const both = await Promise.allSettled([commits.transaction(write('a')), commits.transaction(ended)])
  expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  expect(transactions()).toBe(3)
  expect(await written()).toEqual(['a'])
})

/** A model that writes as it is told, of events that nothing is sealed in. */
const told = (name: string, project: (tx: Db) => Promise<unknown>) =>
  readModel<EventOf<typeof Told>>()({
    name,
    version: 1,
    events: [Told],
    tables: {},
    project: async (_, tx) => void (await project(tx)),
  })

const logged = (...types: string[]): LoggedEvent[] =>
  types.map((type, index) => ({
    position: index + 1,
    stream: 'told-1',
    revision: index,
    id: randomUUID(),
    type,
    data: { id: 'x' },
    metadata: {
      at: '2026-01-01T00:00:00.000Z',
      actorId: null,
      sessionId: null,
      correlationId: 'x',
      causationId: null,
      schemaVersion: 1,
    },
  }))

it('the fence goes out before any row, and what failed is told, not what failed because of that', async () => {
  const { db, codec, bus } = await setUp()
  const sent: string[] = []
  const spied: Pick<Database, 'transaction'> = {
    transaction: work =>
      db.transaction(tx =>
        work({
          ...tx,
          run: statement => {
            sent.push('rows')
            return tx.run(statement)
          },
          runCompiled: (name, text, values) => {
            sent.push(text.includes('kernel.consumers') ? 'fence' : 'rows')
            return tx.runCompiled(name, text, values)
          },
        }),
      ),
  }
  const holder = randomUUID()
  await registerConsumers(
    db,
    ['a_v1', 'b_v1'].map(key => ({ key, from: 'beginning' }) as const),
    0,
  )
  const leases = new Map<string, Lease>()
  for (const key of ['a_v1', 'b_v1']) leases.set(key, (await takeLease(db, key, holder))!.lease)
  const step = (key: string, before: number, after: number) => (tx: Db) => advance(tx, key, leases.get(key)!, before, after)
  const together = { commits: new GroupCommit(spied, () => {}), wide: new Set(['Erased']) }
  const a = modelConsumer(
    told('a', tx => tx.run(sql`insert into written (name) values ('a')`)),
    codec,
    spied,
    bus,
    null,
    together,
  )
  const full = modelConsumer(
    told('b', tx => tx.run(sql`select from no_such_table`)),
    codec,
    spied,
    bus,
    null,
    together,
  )
  const both = await Promise.allSettled([
    a.apply(logged('Told'), step('a_v1', 0, 1)),
    full.apply(logged('Told'), step('b_v1', 0, 1)),
  ])
  expect(both).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected', reason: { code: '42P01' } }])
  // Together: the limit of waiting, one fence for both, their rows; then each alone, beside each other.
  expect(sent.slice(0, 5)).toEqual(['rows', 'fence', 'rows', 'rows', 'fence'])
  expect(sent.slice(4).sort()).toEqual(['fence', 'fence', 'rows', 'rows'])
  const checkpoints = await db.run(sql`select key, checkpoint from kernel.consumers order by key`)
  expect(checkpoints).toEqual([
    { key: 'a_v1', checkpoint: 1 },
    { key: 'b_v1', checkpoint: 0 },
  ])
  // What may take long is not shared.
  const alone = vi.spyOn(together.commits, 'transaction')
  const b = modelConsumer(
    told('b', async () => {}),
    codec,
    db,
    bus,
    null,
    together,
  )
  await b.apply(logged('Told', 'Erased'), step('b_v1', 0, 2))
  await b.apply(logged(...Array.from({ length: 101 }, () => 'Told')), step('b_v1', 2, 101))
  expect(alone).not.toHaveBeenCalled()
  await b.apply(logged('Told'), step('b_v1', 101, 102))
  expect(alone).toHaveBeenCalledTimes(1)
})
