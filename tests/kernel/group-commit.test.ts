import { afterEach, expect, it } from 'vitest'
import { isTransient } from '../../src/adapters/postgres/database.ts'
import { GroupCommit } from '../../src/kernel/projecting/group-commit.ts'
import { type Database, type Db, sql } from '../../src/kernel/sql.ts'
import { testKernel } from '../support/kernel.ts'

const ending: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0)) await end()
})

/** A database that counts its transactions, and a table. */
async function setUp() {
  const { db, close } = await testKernel()
  ending.push(close)
  await db.run(sql`create table written (name text primary key)`)
  let transactions = 0
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
    db,
    commits: new GroupCommit(counted, isTransient),
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

it('one that fails fails alone: what was undone with it is written again by itself', async () => {
  const { commits, write, transactions, written } = await setUp()
  const [good, bad, late] = await Promise.allSettled([
    commits.transaction(write('a')),
    commits.transaction(write('b', 'b')),
    commits.transaction(async () => Promise.reject(new Error('cannot be projected'))),
  ])
  expect(good).toMatchObject({ status: 'fulfilled', value: 'a' })
  expect(bad).toMatchObject({ status: 'rejected', reason: { code: '23505' } })
  expect(late).toMatchObject({ status: 'rejected', reason: { message: 'cannot be projected' } })
  expect(transactions()).toBe(4)
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

it('where the connection is lost all are told, and whoever wrote tries again as it does', async () => {
  const { commits, write, transactions, written } = await setUp()
  const ended = async (tx: Db): Promise<void> => void (await tx.run(sql`select pg_terminate_backend(pg_backend_pid())`))
  const both = await Promise.allSettled([commits.transaction(write('a')), commits.transaction(ended)])
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(transactions()).toBe(1)
  expect(await written()).toEqual([])
})
