import { afterAll, beforeAll, expect, it } from 'vitest'
import { openPipeline } from '../../src/adapters/postgres/database.ts'
import type { Pipeline } from '../../src/adapters/postgres/pipeline.ts'
import { freshDatabase } from '../support/database.ts'

let database: Awaited<ReturnType<typeof freshDatabase>>
let pipeline: Pipeline
const broken: Error[] = []

beforeAll(async () => {
  database = await freshDatabase()
  pipeline = openPipeline(database.url, 2, error => void broken.push(error))
})
afterAll(async () => {
  await pipeline.close()
  await database.drop()
})

const doubled = async (n: number): Promise<unknown> =>
  (await pipeline.query({ name: 'doubled', text: 'select 2 * $1::int as n, pg_backend_pid() as pid', values: [n] })).rows[0]

it('answers each with its own, over no more connections than it may have', async () => {
  const answers = await Promise.all(Array.from({ length: 500 }, (_, n) => doubled(n)))
  expect(answers).toEqual(Array.from({ length: 500 }, (_, n) => expect.objectContaining({ n: 2 * n })))
  expect(new Set(answers.map(answer => (answer as { pid: number }).pid)).size).toBe(2)
})

it('one that fails takes no other with it', async () => {
  const ways = await Promise.allSettled(
    Array.from({ length: 100 }, (_, n) =>
      n % 10 === 3 ? pipeline.query({ text: 'select 1 / $1::int', values: [0] }) : doubled(n),
    ),
  )
  expect(ways.map(({ status }) => status)).toEqual(
    Array.from({ length: 100 }, (_, n) => (n % 10 === 3 ? 'rejected' : 'fulfilled')),
  )
})

it('a connection that breaks fails what waits on it, is told of, and is opened again', async () => {
  const [ended] = await Promise.allSettled([
    pipeline.query({ text: 'select pg_terminate_backend(pg_backend_pid()), $1::int', values: [1] }),
    doubled(1),
  ])
  expect(ended.status).toBe('rejected')
  await expect.poll(() => doubled(21)).toMatchObject({ n: 42 })
  expect(broken.length).toBeGreaterThan(0)
  expect(await Promise.all([1, 2, 3, 4].map(doubled))).toMatchObject([{ n: 2 }, { n: 4 }, { n: 6 }, { n: 8 }])
})

it('ends after what is under way, and takes no more', async () => {
  const other = openPipeline(database.url, 1, error => void broken.push(error))
  const under = other.query({ text: 'select $1::int as n', values: [7] })
  const closing = other.close()
  expect((await under).rows).toEqual([{ n: 7 }])
  await closing
  await expect(other.query({ text: 'select 1' })).rejects.toThrow('ended')
})
