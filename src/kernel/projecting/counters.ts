import { writing } from '../rows.ts'
import { type Db, type RawBuilder, sql } from '../sql.ts'

/** By how much each counter moves: what came adds one, what went takes one away. */
export function tally(came: readonly string[], went: readonly string[]): Map<string, number> {
  const moves = new Map<string, number>()
  for (const id of came) moves.set(id, (moves.get(id) ?? 0) + 1)
  for (const id of went) moves.set(id, (moves.get(id) ?? 0) - 1)
  for (const [id, by] of moves) if (by === 0) moves.delete(id)
  return moves
}

/**
 * Moves counters in one statement. A counter that comes to zero has no row: what came and went within a batch leaves no trace either, so the rows
 * are the same for batches of any size.
 * @param columns the names of the key and of the counter
 */
export async function moveCounters(
  tx: Db,
  table: RawBuilder<unknown>,
  columns: readonly [key: string, counter: string],
  moves: ReadonlyMap<string, number>,
): Promise<void> {
  if (moves.size === 0) return
  const name = columns.join()
  let move = made.get(table)?.get(name)
  if (move === undefined) {
    move = moving(columns)
    made.set(table, (made.get(table) ?? new Map()).set(name, move))
  }
  await move(
    tx,
    table,
    [...moves].map(([id, by]) => ({ id, by })),
  )
}

/** Of each table, by the names of the columns. */
const made = new WeakMap<RawBuilder<unknown>, Map<string, ReturnType<typeof moving>>>()

const moving = (columns: Parameters<typeof countersMoved>[1]) =>
  writing(
    { id: 'uuid', by: 'int' },
    (said, table: RawBuilder<unknown>) =>
      sql`with moves as (select * from ${said}), ${countersMoved(table, columns)} select where false`,
  )

/**
 * The same within a statement that finds out itself by how much they move: parts of its WITH, once a statement, behind one named `moves` with the columns id and
 * by, one row a counter and none of zero.
 */
export function countersMoved(
  table: RawBuilder<unknown>,
  [keyName, counterName]: readonly [key: string, counter: string],
): RawBuilder<unknown> {
  const [key, counter] = [sql.id(keyName), sql.id(counterName)]
  return sql`
    counted as (update ${table} c set ${counter} = c.${counter} + m.by from moves m where c.${key} = m.id and c.${counter} + m.by <> 0),
    emptied as (delete from ${table} c using moves m where c.${key} = m.id and c.${counter} + m.by = 0),
    begun as (
      insert into ${table} (${key}, ${counter})
      select m.id, m.by from moves m where not exists (select from ${table} c where c.${key} = m.id))`
}
