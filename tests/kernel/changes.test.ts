import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Changes } from '../../src/kernel/projecting/changes.ts'
import { readModel } from '../../src/kernel/projecting/model.ts'
import { anyRow, changesTable, mostFollowed, noteChanges } from '../../src/kernel/projecting/notes.ts'
import { type Db, sql } from '../../src/kernel/sql.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'

const model = readModel<never>()({
  name: 'noted',
  version: 1,
  events: [],
  tables: { changes: changesTable },
  async project() {},
})
const { changes } = model.t

let kernel: TestKernel
beforeAll(async () => {
  kernel = await testKernel([model])
  await kernel.db.run(sql`insert into kernel.consumers (key, checkpoint) values (${model.key}, 0) on conflict (key) do nothing`)
})
afterAll(() => kernel.close())

it('keeps the newest notes, more than anybody follows, however many come', async () => {
  const noted = (from: number, many: number, tx: Db) =>
    noteChanges(
      tx,
      changes,
      Array.from({ length: many }, (_, n) => ({ key: randomUUID(), owner: false, position: from + n })),
    )
  let position = 1
  for (const many of [1, 700, 3_500, 1, 900, 1_300, 5, 2_100, 40, 1_999]) {
    // Once undone, and done again.
    const undone = kernel.db.transaction(tx =>
      noted(position, many, tx).then(() => Promise.reject(new Error('the power is gone'))),
    )
    await expect(undone).rejects.toThrow('the power is gone')
    await kernel.db.transaction(tx => noted(position, many, tx))
    position += many
    const [kept] = await kernel.db.run<{ rows: number; oldest: number; newest: number }>(
      sql`select count(*)::int as rows, min(position) as oldest, max(position) as newest from ${changes}`,
    )
    expect(kept).toEqual({ rows: kept!.rows, oldest: position - kept!.rows, newest: position - 1 })
    expect(kept!.rows).toBeGreaterThanOrEqual(Math.min(position - 1, 2 * mostFollowed))
    expect(kept!.rows).toBeLessThan(6 * mostFollowed + many)
  }
  await kernel.db.run(sql`delete from ${changes}`)
})

it('tells who fell behind of each change or of all, never of fewer, also where old notes were swept meanwhile', async () => {
  let position = 0
  for (const [missed, batch] of [
    [999, 999],
    [1_000, 1_000],
    [999, 333],
    [1_001, 77],
    [9_000, 1_500],
    [60_000, 2_500],
  ] as const) {
    const told: string[] = []
    const behind = new Changes()
    behind.add(model, { drop: changed => void told.push(...changed) })
    await behind.follow(kernel.db)
    told.length = 0
    const keys = Array.from({ length: missed }, () => randomUUID())
    for (let from = 0; from < missed; from += batch)
      await kernel.db.transaction(tx =>
        noteChanges(
          tx,
          changes,
          keys.slice(from, from + batch).map(key => ({ key, owner: false, position: ++position })),
        ),
      )
    await behind.follow(kernel.db)
    expect(new Set(told)).toEqual(new Set(missed < mostFollowed ? keys : [anyRow]))
  }
  await kernel.db.run(sql`delete from ${changes}`)
})

it('finds what is new by the index alone, however large and unordered many changes have left the table', async () => {
  await kernel.db.run(sql`alter table ${changes} set (autovacuum_enabled = false)`)
  const keys = Array.from({ length: 3_000 }, () => randomUUID())
  for (let round = 0; round < 8; round++) {
    // Each key has its own order each time.
    const noted = keys.map((key, n) => ({ key, owner: false, position: round * keys.length + ((n * 1_237) % keys.length) + 1 }))
    await kernel.db.transaction(tx => noteChanges(tx, changes, noted))
  }
  await kernel.db.run(sql`analyze ${changes}`)
  const dropped: string[] = []
  const all = new Changes()
  all.add(model, { drop: changed => void dropped.push(...changed) })
  const asked: { text: string; values: readonly unknown[] }[] = []
  const db = {
    ...kernel.db,
    runCompiled<Row>(name: string, text: string, values: readonly unknown[]): Promise<Row[]> {
      asked.push({ text, values })
      return kernel.db.runCompiled<Row>(name, text, values)
    },
  }
  await all.follow(db)
  dropped.length = 0
  const [one] = keys
  await kernel.db.transaction(tx => noteChanges(tx, changes, [{ key: one!, owner: false, position: 1_000_000 }]))
  await all.follow(db)
  expect(dropped).toEqual([one])

  const { text, values } = asked.at(-1)!
  const plan = await kernel.db.transaction(async tx => {
    await tx.run(sql`prepare question as ${sql.raw(text)}`)
    return tx.run(sql`explain execute question (${sql.join(values.map(value => sql.lit(value)))})`)
  })
  expect(JSON.stringify(plan)).toMatch(/Index Scan (using|on) changes_position_idx/)
  expect(JSON.stringify(plan)).not.toContain('Seq Scan on changes')
})
