import { LRUCache } from 'lru-cache'
import { type Db, grouped, query, type RawBuilder, rows, sql } from '../sql.ts'
import { lastOf, type ReadModel, type Table } from './model.ts'

/**
 * The table in which a model notes what it changed or deleted of the rows that processes keep in memory: the position of each key's last change. `owner`: the
 * key is an account, and all of its rows are gone.
 */
export const changesTable = {
  columns: 'key uuid primary key, owner boolean not null, position bigint not null',
  indexes: ['(position)'],
} as const satisfies Table

export type Change = { readonly key: string; readonly owner: boolean; readonly position: number }

/** Notes changes, in the transaction that makes them. By events alone, so that the notes are the same for batches of any size. */
export async function noteChanges(tx: Db, changes: RawBuilder<unknown>, noted: readonly Change[]): Promise<void> {
  if (noted.length === 0) return
  const columns = { key: 'uuid', owner: 'boolean', position: 'bigint' } as const
  await tx.run(sql`
    insert into ${changes} as c (key, owner, position) select * from ${rows(
      'noted',
      columns,
      lastOf(noted, ({ key }) => key),
    )}
    on conflict (key) do update set position = excluded.position where c.position < excluded.position`)
}

/** Where no change was noted. */
type Nothing = { readonly key: null; readonly owner: null; readonly position: null }
type Fenced = { readonly fence: number | null }

/** More changes than this are not followed one by one: all that is kept is dropped. */
const mostChanges = 1_000

type Parts<Row> = {
  readonly model: ReadModel & { readonly t: { readonly changes: RawBuilder<unknown> } }
  /** Rows that are kept at most; those not asked for longest go first. */
  readonly most: number
  readonly load: (db: Db, parameters: { ids: readonly string[] }) => Promise<Row[]>
  /** Whose account's erasure ends the row. */
  readonly ownerOf: (row: Row) => string
  /** Whether the row may be kept: false where it is made of a second model that is behind. */
  readonly isWhole?: (row: Row) => boolean
}

/**
 * Rows of a read model, kept in this process and never older than the question: each time they are asked for, what the model has noted since is asked first, and
 * what was changed is read anew. A row that was read while a change was noted is answered, and not kept.
 */
export class Kept<Row extends { readonly id: string }> {
  readonly #parts: Parts<Row>
  readonly #rows: LRUCache<string, Row>
  readonly #changesAfter: (db: Db, p: { after: number }) => Promise<((Change | Nothing) & Fenced)[]>
  readonly #end: (db: Db, p: Record<never, never>) => Promise<({ position: number } & Fenced)[]>
  /** All changes up to here are followed; null before the first question. */
  #followed: number | null = null
  /** Of the model's schema: another one after a rebuilt one was swapped in, or another process took over. */
  #fence: number | null = null

  constructor(parts: Parts<Row>) {
    this.#parts = parts
    this.#rows = new LRUCache({ max: parts.most })
    const { changes } = parts.model.t
    const fence = sql`(select fence from kernel.consumers where key = ${sql.lit(parts.model.key)})`
    this.#end = query(() => sql`select ${fence} as fence, (select coalesce(max(position), 0) from ${changes}) as position`)
    this.#changesAfter = grouped(
      { after: 'bigint' },
      p => sql`
        select f.fence, c.key, c.owner, c.position from (select ${fence} as fence) f
        left join lateral (
          select key, owner, position from ${changes} where position > ${p.after} order by position limit ${sql.lit(mostChanges)}) c on true`,
    )
  }

  /** What is kept of these, however old. */
  peek(ids: Iterable<string>): Row[] {
    return [...ids].flatMap(id => this.#rows.peek(id) ?? [])
  }

  /** Rows by id, as new as when this was asked; those that do not exist are absent. */
  async rows(db: Db, ids: Iterable<string>): Promise<Map<string, Row>> {
    await this.#follow(db)
    const found = new Map<string, Row>()
    const missing: string[] = []
    for (const id of new Set(ids)) {
      const row = this.#rows.get(id)
      if (row === undefined) missing.push(id)
      else found.set(id, row)
    }
    if (missing.length === 0) return found
    const { load, isWhole } = this.#parts
    const followed = this.#followed
    for (const row of await load(db, { ids: missing })) {
      found.set(row.id, row)
      if (this.#followed === followed && (isWhole?.(row) ?? true)) this.#rows.set(row.id, row)
    }
    return found
  }

  async #follow(db: Db): Promise<void> {
    if (this.#followed === null) return this.#startOver(db)
    const noted = await this.#changesAfter(db, { after: this.#followed })
    if (noted.length === mostChanges || noted[0]!.fence !== this.#fence) return this.#startOver(db)
    for (const { key, owner, position } of noted) {
      if (key === null || position <= this.#followed) continue
      if (owner) this.#dropOwned(key)
      else this.#rows.delete(key)
    }
    this.#followed = Math.max(this.#followed, noted.at(-1)!.position ?? 0)
  }

  /** Only what is read from now on may be kept: what was noted before needs not be followed. */
  async #startOver(db: Db): Promise<void> {
    const [end] = await this.#end(db, {})
    this.#rows.clear()
    this.#fence = end!.fence
    this.#followed = Math.max(this.#followed ?? 0, end!.position)
  }

  #dropOwned(owner: string): void {
    for (const [id, row] of this.#rows.entries()) if (this.#parts.ownerOf(row) === owner) this.#rows.delete(id)
  }
}
