import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Db, grouped, sql } from '../../src/kernel/sql.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'

let kernel: TestKernel

beforeAll(async () => {
  kernel = await testKernel()
})
afterAll(() => kernel.close())

/** The database, and how many statements it was asked. */
function counting(): { db: Db; statements: () => number } {
  let statements = 0
  const db: Db = {
    run: statement => kernel.db.run(statement),
    runCompiled: (name, text, values) => kernel.db.runCompiled(name, text, values),
    runArrays(name, text, values) {
      statements++
      return kernel.db.runArrays(name, text, values)
    },
  }
  return { db, statements: () => statements }
}

const series = grouped<{ from: number; word: string | null; limit: number }, { at: number; word: string | null }>(
  { from: 'int', word: 'text', limit: 'limit' },
  p => sql`select at, ${p.word} as word from generate_series(${p.from}, 0, -1) at order by at desc limit ${p.limit}`,
)

it('answers each who asks with their own rows, in their order, by one statement', async () => {
  const { db, statements } = counting()
  const asked = Array.from({ length: 150 }, (_, n) => ({ from: n % 7, word: n % 3 === 0 ? null : `${n}, "{}`, limit: 3 }))
  const answers = await Promise.all(asked.map(parameters => series(db, parameters)))
  expect(statements()).toBe(1)
  expect(answers).toEqual(
    asked.map(({ from, word }) => Array.from({ length: Math.min(3, from + 1) }, (_, n) => ({ at: from - n, word }))),
  )
})

it('asks apart with another limit, and more than a statement takes in the next ones', async () => {
  const { db, statements } = counting()
  const asked = Array.from({ length: 450 }, (_, n) => ({ from: 9, word: String(n), limit: 1 + (n % 2) }))
  const answers = await Promise.all(asked.map(parameters => series(db, parameters)))
  expect(answers.map(rows => rows.length)).toEqual(asked.map(({ limit }) => limit))
  expect(answers.map(rows => rows[0]!.word)).toEqual(asked.map(({ word }) => word))
  expect(statements()).toBe(4)
})

it('looks up once what many ask at the same time', async () => {
  const looked: unknown[] = []
  const db: Db = {
    ...kernel.db,
    runArrays(name, text, values) {
      looked.push(...values)
      return kernel.db.runArrays(name, text, values)
    },
  }
  const asked = Array.from({ length: 300 }, (_, n) => ({ from: n % 2, word: n % 3 === 0 ? null : 'null', limit: 1 }))
  const answers = await Promise.all(asked.map(parameters => series(db, parameters)))
  expect(answers).toEqual(asked.map(({ from, word }) => [{ at: from, word }]))
  expect(looked).toEqual([[0, 1, 0, 1], [null, 'null', 'null', null], 1])
})

it('takes arrays of unlike lengths, and none', async () => {
  const among = grouped<{ ids: readonly string[] }, { id: string }>(
    { ids: 'uuid[]' },
    p => sql`select id from unnest(${p.ids}) id order by id`,
  )
  const id = (n: number) => `00000000-0000-4000-8000-00000000000${n}`
  const asked = [[], [id(1)], [id(3), id(2)], []]
  const answers = await Promise.all(asked.map(ids => among(kernel.db, { ids })))
  expect(answers.map(rows => rows.map(row => row.id))).toEqual([[], [id(1)], [id(2), id(3)], []])
})

it('asks only after it was asked: what was committed before is seen', async () => {
  await kernel.db.run(sql`create table counted (n int)`)
  const count = grouped<{ of: number }, { n: number }>(
    { of: 'int' },
    p => sql`select count(*)::int as n from counted where n = ${p.of}`,
  )
  await kernel.db.run(sql`insert into counted values (1)`)
  const first = count(kernel.db, { of: 1 })
  const later = kernel.db.run(sql`insert into counted values (1)`).then(() => count(kernel.db, { of: 1 }))
  expect((await first)[0]!.n).toBeGreaterThanOrEqual(1)
  expect(await later).toEqual([{ n: 2 }])
})

it('fails for all that were in the statement, and goes on', async () => {
  const inverse = grouped<{ of: number }, { n: number }>({ of: 'int' }, p => sql`select 6 / ${p.of} as n`)
  const answers = await Promise.allSettled([0, 2].map(of => inverse(kernel.db, { of })))
  expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(await inverse(kernel.db, { of: 3 })).toEqual([{ n: 2 }])
})

it('waits no longer than a second for statements that get no answer', async () => {
  let silent = 0
  const db: Db = {
    run: statement => kernel.db.run(statement),
    runCompiled: (name, text, values) => kernel.db.runCompiled(name, text, values),
    runArrays: (name, text, values) => (silent++ < 2 ? new Promise(() => {}) : kernel.db.runArrays(name, text, values)),
  }
  const turn = () => new Promise(resolve => setImmediate(resolve))
  for (let n = 0; n < 2; n++) {
    series(db, { from: 1, word: 'unheard', limit: 1 })
    await turn()
  }
  expect(silent).toBe(2)
  expect(await series(db, { from: 1, word: 'heard', limit: 1 })).toEqual([{ at: 1, word: 'heard' }])
})
