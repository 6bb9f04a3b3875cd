import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { expect } from 'vitest'
import type { Event, Recorded } from '../../src/kernel/events.ts'
import type { ReadModel } from '../../src/kernel/projecting/model.ts'
import { runDdl } from '../../src/kernel/projecting/rebuild.ts'
import { type Database, sql } from '../../src/kernel/sql.ts'

/** An event as a projection gets it, at the n-th position of a log; `minute` moves its clock. */
export const recorded = <E extends Event>(events: readonly (E & { minute?: number })[]): Recorded<E>[] =>
  events.map(({ type, data, minute }, index) => {
    const at = new Date(Date.UTC(2026, 0, 1, 12, minute ?? index)).toISOString()
    const metadata = { at, actorId: null, sessionId: null, correlationId: 'test', causationId: null, schemaVersion: 1 }
    return {
      id: randomUUID(),
      type,
      data,
      stream: 'test-1',
      revision: index,
      position: index + 1,
      metadata,
      at,
    } as unknown as Recorded<E>
  })

export type Rows = Readonly<Record<string, readonly Record<string, unknown>[]>>

/** Of notes what they come to: they are as many as batches, and said again where a batch comes again. */
const rowsOf = async (db: Database, schema: string, model: ReadModel): Promise<Rows> => {
  const found: [string, Record<string, unknown>[]][] = []
  for (const [table, { passing }] of Object.entries(model.tables)) {
    const from = passing
      ? `(select key, bool_or(owner) as owner, max(position) as position from ${schema}.${table} group by key)`
      : `${schema}.${table}`
    const rows = await db.run<{ row: Record<string, unknown> }>(
      sql.raw(`select to_jsonb(t) as row from ${from} t order by t::text`),
    )
    found.push([table, rows.map(({ row }) => row)])
  }
  return Object.fromEntries(found)
}

/** Batches of any sizes, some of them again with those behind them. */
export const batches = fc.record({
  sizes: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1 }),
  times: fc.array(fc.integer({ min: 1, max: 2 }), { minLength: 1 }),
})

const scratch = new WeakMap<Database, Map<ReadModel, string>>()

/** An empty schema of the model, for one at a time. The same one each time: what is planned for it once serves all runs of a property. */
async function emptySchema(db: Database, model: ReadModel): Promise<string> {
  const made = scratch.get(db) ?? new Map<ReadModel, string>()
  scratch.set(db, made)
  const found = made.get(model)
  if (found !== undefined) {
    for (const table of Object.keys(model.tables)) await db.run(sql.raw(`delete from ${found}.${table}`))
    return found
  }
  const schema = `${model.key}_test_${made.size}`
  await runDdl(db, model.ddl(schema, 'now'))
  made.set(model, schema)
  return schema
}

/**
 * The rows of events projected in batches of these sizes, over and over, each as many times as `times` says: a redelivered batch comes with as many more.
 * `filling`: as a rebuild does.
 */
export async function inBatches<E extends Event>(
  db: Database,
  model: ReadModel,
  events: readonly (E & { minute?: number })[],
  sizes: readonly number[],
  times: readonly number[] = [1],
  how: 'live' | 'filling' = 'live',
): Promise<Rows> {
  const log = recorded(events) as unknown as Recorded<Event>[]
  const schema = await emptySchema(db, model)
  for (let start = 0, n = 0; start < log.length; n++) {
    const size = sizes[n % sizes.length]!
    let end = start
    for (let time = 0; time < times[n % times.length]!; time++) {
      end += size
      await db.transaction(tx => model.projectInto(schema, log.slice(start, end), tx, how === 'filling'))
    }
    start = end
  }
  if (how === 'filling') await db.transaction(tx => model.deriveIn(schema, tx))
  return rowsOf(db, schema, model)
}

/**
 * Projects events on real Postgres: one at a time, all at once, in odd batches, each batch again with those behind it, and as a rebuild does; says that the rows are the same
 * every time, and returns them by table (columns as they are named in SQL).
 */
export async function projected<E extends Event>(
  db: Database,
  model: ReadModel,
  events: readonly (E & { minute?: number })[],
): Promise<Rows> {
  const all = Math.max(1, events.length)
  const first = await inBatches(db, model, events, [1])
  for (const [size, times] of [
    [all, 1],
    [3, 2],
    [1, 2],
    [all, 2],
  ] as const) {
    expect(await inBatches(db, model, events, [size], [times])).toEqual(first)
  }
  const lasting = Object.entries(first).filter(([name]) => !model.tables[name]!.passing)
  const filled = await inBatches(db, model, events, [2], [1], 'filling')
  expect(filled).toEqual({ ...filled, ...Object.fromEntries(lasting) })
  return first
}
