import type { Event, Recorded } from '../events.ts'
import { writing } from '../rows.ts'
import { type Db, type RawBuilder, sql } from '../sql.ts'
import type { Table } from './model.ts'

/** A model's table of one row: how far the log is in its rows, for models whose rows cannot tell by themselves that an event came before. */
export const head = {
  columns: 'single boolean primary key default true check (single), position bigint not null',
} as const satisfies Table

const planning = sql.join(
  ['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin', 'jit'].map(
    setting => sql`set_config(${sql.lit(setting)}, 'off', true) as ${sql.id(setting)}`,
  ),
)

/**
 * Of a model with such a table. What a transaction writes behind `unseen` is planned by indexes and nested loops alone: these models touch few rows of many, and what
 * Postgres knows of tables that grow from nothing, as in a rebuild, would make it read them whole.
 */
export function headOf(model: string) {
  const setting = sql.lit(`darkroom.head_${model}`)
  const move = writing(
    { position: 'bigint' },
    (said, table: RawBuilder<unknown>) => sql<{ before: number }>`
      with before as (select coalesce(max(position), -1) as position from ${table})
      insert into ${table} as h (position) select position from ${said}
      on conflict (single) do update set position = greatest(h.position, excluded.position)
      returning (select position from before) as before, set_config(${setting}, (select position from before)::text, true), ${planning}`,
  )
  return {
    /** The events of a batch that are not in the rows yet; from now on they are. */
    async unseen<E extends Event>(
      batch: readonly Recorded<E>[],
      tx: Db,
      table: RawBuilder<unknown>,
    ): Promise<readonly Recorded<E>[]> {
      const last = batch.at(-1)
      if (last === undefined) return []
      const [row] = await move(tx, table, [{ position: last.position }])
      return batch.filter(({ position }) => position > row!.before)
    },
    /** Whether an event at that position was not in the rows: for statements of this transaction that follow `unseen` without waiting for its answer. */
    isUnseen: (position: RawBuilder<unknown>): RawBuilder<unknown> =>
      sql`${position} > (select current_setting(${setting})::bigint)`,
  }
}
