import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Event } from '../../src/kernel/events.ts'
import { readModel } from '../../src/kernel/projecting/model.ts'
import { changesTable } from '../../src/kernel/projecting/notes.ts'
import { sql } from '../../src/kernel/sql.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'
import { recorded } from '../support/projection.ts'

type Said = Event<'Said', { key: string; word: string }>

let pause: () => Promise<void> = async () => {}

const model = readModel<Said>()({
  name: 'said',
  version: 1,
  events: [{ type: 'Said' }],
  tables: { changes: changesTable, words: { columns: 'n bigint generated always as identity primary key, word text not null' } },
  changes: ({ data: { key }, position }) => [{ key, owner: false, position }],
  async project(batch, tx, t) {
    for (const { data } of batch) {
      await tx.run(sql`insert into ${t.words} (word) values (${data.word})`)
      await pause()
    }
  },
})

let kernel: TestKernel
beforeAll(async () => {
  kernel = await testKernel([model])
})
afterAll(() => kernel.close())

const said = (key: string, ...words: string[]) => recorded(words.map((word): Said => ({ type: 'Said', data: { key, word } })))
const words = async () =>
  (await kernel.db.run<{ word: string }>(sql`select word from ${model.t.words} order by n`)).map(({ word }) => word)

it('notes what changes beside the rows', async () => {
  const key = '00000000-0000-7000-8000-000000000001'
  await kernel.db.transaction(tx => model.projectInto(model.key, said(key, 'one', 'two'), tx))
  expect(await words()).toEqual(['one', 'two'])
  expect(await kernel.db.run(sql`select key, owner, position from ${model.t.changes}`)).toEqual([
    { key, owner: false, position: 2 },
  ])
})

it('writes nothing when its transaction is over: it ends with all that was begun in it, and with what failed first', async () => {
  const before = await words()
  const ended = Promise.withResolvers<void>()
  let over = false
  // The note fails while the projection is still at its rows, for as long as that takes.
  pause = async () => {
    pause = async () => {}
    for (let turn = 0; turn < 1_000 && !over; turn++) await new Promise(setImmediate)
    ended.resolve()
  }
  const sent: Promise<unknown>[] = []
  const projected = kernel.db.transaction(tx => {
    const counted = <T>(running: Promise<T>): Promise<T> => {
      sent.push(running)
      return running
    }
    return model.projectInto(model.key, said('no id', 'three', 'four'), {
      ...tx,
      run: statement => counted(tx.run(statement)),
      // What is compiled once, as notes are.
      runCompiled: <Row>(...statement: Parameters<typeof tx.runCompiled>) => counted(tx.runCompiled<Row>(...statement)),
    })
  })
  await expect(
    projected.finally(() => {
      over = true
    }),
  ).rejects.toThrow(/invalid input syntax for type uuid/)
  await ended.promise
  await new Promise(setImmediate)
  await Promise.allSettled(sent)
  expect(sent).toHaveLength(3)
  expect(await words()).toEqual(before)
})
