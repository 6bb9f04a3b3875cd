import { randomBytes } from 'node:crypto'
import { positionsOf } from '../consistency.ts'
import { type Db, sql } from '../sql.ts'
import type { ReadModel } from './model.ts'
import { fill, manyRows, type RebuildParts, runDdl } from './rebuild.ts'
import { claimed, dropAbandoned, dropScratch } from './scratch.ts'

/** A row that stands in one of the two alone. */
export type Difference = { readonly table: string; readonly side: 'live only' | 'log only'; readonly row: object }

export type Verdict = {
  readonly key: string
  readonly position: number
  readonly rows: number
  readonly differences: readonly Difference[]
  readonly more: number
}

const shown = 10

/**
 * Compares a read model with what the log gives, row for row: rows and checkpoint are copied out of one snapshot, a scratch schema is filled to
 * exactly that position. The server may run or not, and several may verify at once.
 */
export async function verify(parts: RebuildParts, model: ReadModel): Promise<Verdict> {
  const { db } = parts
  const { key } = model
  const tables = Object.entries(model.tables).flatMap(([name, { passing }]) => (passing ? [] : [name]))
  await dropAbandoned(db)
  // A name of its own: several may be at it at once.
  const name = `${key}_verify_${randomBytes(4).toString('hex')}`
  const [copy, scratch] = [`${name}_live`, `${name}_log`]
  return claimed(db, name, async claim => {
    try {
      await runDdl(db, model.ddl(scratch, 'later'))
      const position = await db.transaction(async tx => {
        const at = (await positionsOf({ ...tx, transaction: work => work(tx) })).get(key) ?? 0
        await tx.run(sql.raw(`create schema ${copy}`))
        for (const table of tables) await tx.run(sql.raw(`create table ${copy}.${table} as table ${key}.${table}`))
        return at
      }, 'repeatable read')
      await fill(parts, model, scratch, { after: 0, until: position, whole: false, before: claim.hold })
      await db.transaction(async tx => {
        await manyRows(tx)
        await model.deriveIn(scratch, tx)
        await claim.hold(tx)
      })
      return { key, position, ...(await compare(db, tables, copy, scratch)) }
    } finally {
      await db.transaction(async tx => {
        await dropScratch(tx, name)
        await tx.run(sql`delete from kernel.rebuilds where key = ${name}`)
      })
    }
  })
}

async function compare(
  db: Db,
  tables: readonly string[],
  live: string,
  log: string,
): Promise<Pick<Verdict, 'rows' | 'differences' | 'more'>> {
  const countOf = async (from: string): Promise<number> =>
    (await db.run<{ count: number }>(sql.raw(`select count(*) as count from ${from}`)))[0]?.count ?? 0
  const differences: Difference[] = []
  let rows = 0
  let found = 0
  for (const table of tables) {
    rows += await countOf(`${live}.${table}`)
    const columns = await comparable(db, log, table)
    for (const [side, one, other] of [
      ['live only', live, log],
      ['log only', log, live],
    ] as const) {
      const difference = `select to_jsonb(d) as row from (select ${columns} from ${one}.${table} except all select ${columns} from ${other}.${table}) d`
      const count = await countOf(`(${difference}) n`)
      found += count
      if (count === 0) continue
      const some = await db.run<{ row: object }>(sql.raw(`${difference} limit ${shown}`))
      differences.push(...some.map(({ row }) => ({ table, side, row })))
    }
  }
  return { rows, differences: differences.slice(0, shown), more: Math.max(0, found - shown) }
}

/** The columns in a form that `except` can compare: json has no equality of its own. */
async function comparable(db: Db, schema: string, table: string): Promise<string> {
  const columns = await db.run<{ name: string; type: string }>(sql`
    select column_name as name, data_type as type from information_schema.columns
    where table_schema = ${schema} and table_name = ${table} order by ordinal_position`)
  return columns.map(({ name, type }) => (type === 'json' ? `${name}::text` : name)).join(', ')
}
