import { writing } from '../rows.ts'
import { type Db, type RawBuilder, sql, together } from '../sql.ts'
import type { Table } from './model.ts'

/**
 * The table in which a model notes what it changed or deleted of the rows that processes keep in memory: a row for each change of a key. `owner`: all
 * rows that belong to the key are gone, as an account's or what stood under a comment. The newest stay; of a model that a log is replayed into nobody keeps rows: it
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

/** How many came to each table since it was swept by this process. Where that was undone it is swept so much later. */
const unswept = new WeakMap<RawBuilder<unknown>, number>()

/** Notes changes, in the transaction that makes them. By events alone, so that batches of any size say the same: whoever was gone once stays so. */
export async function noteChanges(tx: Db, changes: RawBuilder<unknown>, noted: readonly Change[]): Promise<void> {
  if (noted.length === 0) return
  const gone = new Set(noted.flatMap(({ key, owner }) => (owner ? key : [])))
  const last = new Map(noted.map(({ key, position }) => [key, { key, owner: gone.has(key), position }]))
  const came = (unswept.get(changes) ?? notesKept) + last.size
  unswept.set(changes, came < notesKept ? came : 0)
  await together([note(tx, changes, [...last.values()]), came >= notesKept && sweep(tx, changes)])
}

const note = writing(
  { key: 'uuid', owner: 'boolean', position: 'bigint' },
  (said, changes: RawBuilder<unknown>) => sql`insert into ${changes} (key, owner, position) select * from ${said}`,
)

const sweep = (tx: Db, changes: RawBuilder<unknown>): Promise<unknown> =>
  tx.run(sql`
    delete from ${changes} where position < (select position from ${changes} order by position desc offset ${sql.lit(notesKept)} limit 1)`)
