import { positionsOf } from '../consistency.ts'
import { sql } from '../sql.ts'
import type { ReadModel } from './model.ts'
import { fill, type RebuildParts, runDdl } from './rebuild.ts'

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
 * exactly that position. The server may run or not.
 */
export async function verify(parts: RebuildParts, model: ReadModel): Promise<Verdict> {
  const { db } = parts
  const { key } = model
  const copy = `${key}_verify_live`
  const scratch = `${key}_verify_log`
  const tables = Object.keys(model.tables)
  const drop = async (): Promise<void> => {
    for (const schema of [copy, scratch]) await db.run(sql.raw(`drop schema if exists ${schema} cascade`))
  }
  await drop()
  try {
    await runDdl(db, model.ddl(scratch, 'later'))
    const position = await db.transaction(async tx => {
      const at = (await positionsOf({ ...tx, transaction: work => work(tx) })).get(key) ?? 0
      await tx.run(sql.raw(`create schema ${copy}`))
      for (const table of tables) await tx.run(sql.raw(`create table ${copy}.${table} as table ${key}.${table}`))
      return at
    }, 'repeatable read')
    await fill(parts, model, scratch, 0, position)
    const differences: Difference[] = []
    let rows = 0
    let found = 0
    for (const table of tables) {
      const [{ count } = { count: 0 }] = await db.run<{ count: number }>(
        sql.raw(`select count(*) as count from ${copy}.${table}`),
      )
      rows += count
      for (const [side, one, other] of [
        ['live only', copy, scratch],
        ['log only', scratch, copy],
      ] as const) {
        const columns = await comparable(parts, scratch, table)
        const difference = `select to_jsonb(d) as row from (select ${columns} from ${one}.${table} except all select ${columns} from ${other}.${table}) d`
        const [{ count: n } = { count: 0 }] = await db.run<{ count: number }>(
          sql.raw(`select count(*) as count from (${difference}) n`),
        )
        found += n
        if (n > 0) {
          const some = await db.run<{ row: object }>(sql.raw(`${difference} limit ${shown}`))
          differences.push(...some.map(({ row }) => ({ table, side, row })))
        }
      }
    }
    return { key, position, rows, differences: differences.slice(0, shown), more: Math.max(0, found - shown) }
  } finally {
    await drop()
  }
}

/** The columns in a form that `except` can compare: json has no equality of its own. */
async function comparable({ db }: RebuildParts, schema: string, table: string): Promise<string> {
  const columns = await db.run<{ name: string; type: string }>(sql`
    select column_name as name, data_type as type from information_schema.columns
    where table_schema = ${schema} and table_name = ${table} order by ordinal_position`)
  return columns.map(({ name, type }) => (type === 'json' ? `${name}::text` : name)).join(', ')
}
