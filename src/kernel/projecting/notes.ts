import { writing } from '../rows.ts'
import { type Db, type RawBuilder, sql } from '../sql.ts'
import type { Table } from './model.ts'

/**
 * The table in which a model notes what it changed or deleted of the rows that processes keep in memory: the position of each key's last change. `owner`: all
 * rows that belong to the key are gone, as an account's or what stood under a comment. Of a model that a log is replayed into nobody keeps rows: it begins without notes,
 * and whoever had some of the one before drops them all.
 */
export const changesTable = {
  columns: 'key uuid primary key, owner boolean not null, position bigint not null',
  indexes: ['(position)'],
  passing: true,
} as const satisfies Table

export type Change = { readonly key: string; readonly owner: boolean; readonly position: number }

/** The key of a change that may have touched any row. For what is rare. */
export const anyRow = '00000000-0000-0000-0000-000000000000'

/** Notes changes, in the transaction that makes them. By events alone, so that the notes are the same for batches of any size: whoever was gone once stays so. */
export async function noteChanges(tx: Db, changes: RawBuilder<unknown>, noted: readonly Change[]): Promise<void> {
  if (noted.length === 0) return
  const gone = new Set(noted.flatMap(({ key, owner }) => (owner ? key : [])))
  const last = new Map(noted.map(({ key, position }) => [key, { key, owner: gone.has(key), position }]))
  await note(tx, changes, [...last.values()])
}

const note = writing(
  { key: 'uuid', owner: 'boolean', position: 'bigint' },
  (said, changes: RawBuilder<unknown>) => sql`
    insert into ${changes} as c (key, owner, position) select * from ${said}
    on conflict (key) do update set owner = c.owner or excluded.owner, position = excluded.position where c.position < excluded.position`,
)
