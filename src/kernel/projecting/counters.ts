import { type Db, type RawBuilder, rows, sql } from '../sql.ts'

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
  const [key, counter] = columns.map(name => sql.id(name)) as [RawBuilder<unknown>, RawBuilder<unknown>]
  await tx.run(sql`
    merge into ${table} c using (select * from ${rows(
      'moved',
      { id: 'uuid', by: 'int' },
      [...moves].map(([id, by]) => ({ id, by })),
    )}) m on c.${key} = m.id
    when matched and c.${counter} + m.by = 0 then delete
    when matched then update set ${counter} = c.${counter} + m.by
    when not matched then insert (${key}, ${counter}) values (m.id, m.by)`)
}
