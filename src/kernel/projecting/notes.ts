import { writing } from '../rows.ts'
import { type Db, type RawBuilder, sql, together } from '../sql.ts'
import type { Table } from './model.ts'

/**
 * The table in which a model notes what it changed or deleted of the rows that processes keep in memory: in each batch the last change of each key. `owner`: all
 * rows that belong to the key are gone, as an account's or what stood under a comment. The newest stay, a batch that comes again is noted again; of a model that a log is replayed into nobody keeps rows: it
 * begins without notes, and whoever had some of the one before drops them all.
 */
export const changesTable = {
  columns: 'position bigint not null, key uuid not null, owner boolean not null',
  indexes: ['(position)'],
  passing: true,
} as const satisfies Table

export type Change = { readonly key: string; readonly owner: boolean; readonly position: number }

/** The key of a change that may have touched any row. For what is rare. */
export const anyRow = '00000000-0000-0000-0000-000000000000'

/** Who has missed as many changes of a model, or more, does not follow them one by one: all that is kept of it is dropped. */
export const mostFollowed = 1_000

/** As many of the newest stay at least: more than anybody follows. Swept as often as so many have come. */
const notesKept = 2 * mostFollowed

/**
 * Of each table how many came since this process swept it, up to which position it did the last time, and up to which that is known to have been committed. A sweep
 * begins at the latter: what went earlier may stand in the index for as long as somebody has an old snapshot, and is not to be read again and again.
 */
type Swept = { came: number; upTo: number; surely: number }
const swept = new WeakMap<RawBuilder<unknown>, Swept>()

/** Notes changes, in the transaction that makes them. By events alone, so that batches of any size say the same. */
export async function noteChanges(tx: Db, changes: RawBuilder<unknown>, noted: readonly Change[]): Promise<void> {
  if (noted.length === 0) return
  const gone = new Set(noted.flatMap(({ key, owner }) => (owner ? key : [])))
  const last = new Map(noted.map(({ key, position }) => [key, { key, owner: gone.has(key), position }]))
  const sweeps = swept.get(changes) ?? { came: notesKept, upTo: 0, surely: 0 }
  swept.set(changes, sweeps)
  sweeps.came += last.size
  const isDue = sweeps.came >= notesKept
  if (isDue) sweeps.came = 0
  await together([note(tx, changes, [...last.values()]), isDue && sweep(tx, changes, sweeps)])
}

const note = writing(
  { key: 'uuid', owner: 'boolean', position: 'bigint' },
  (said, changes: RawBuilder<unknown>) => sql`insert into ${changes} (key, owner, position) select * from ${said}`,
)

async function sweep(tx: Db, changes: RawBuilder<unknown>, sweeps: Swept): Promise<void> {
  const [cut] = await tx.run<{ position: number; undone: boolean }>(sql`
    with cut as materialized (select position from ${changes} order by position desc offset ${sql.lit(notesKept)} limit 1),
      gone as (delete from ${changes} where position >= ${sweeps.surely}::bigint and position < (select position from cut))
    select position, exists (select from ${changes} where position >= ${sweeps.surely}::bigint and position < ${sweeps.upTo}::bigint) as undone
    from cut`)
  if (cut === undefined) return
  if (!cut.undone) sweeps.surely = sweeps.upTo
  sweeps.upTo = cut.position
}
