import { LRUCache } from 'lru-cache'
import type { Db } from '../sql.ts'
import { anyRow, type Changes, type Dropping, type Noting } from './changes.ts'

type Parts<Row> = {
  readonly model: Noting
  readonly changes: Changes
  /** Rows that are kept at most; those not asked for longest go first. */
  readonly most: number
  readonly load: (db: Db, parameters: { ids: readonly string[] }) => Promise<Row[]>
  /** The keys that the row is noted by where they are gone; by default none but its own. */
  readonly ownersOf?: (row: Row) => readonly (string | null)[]
  /** Whether the row may be kept: false where it is made of a second model that is behind. */
  readonly isWhole?: (row: Row) => boolean
}

/**
 * Rows of a read model, kept in this process and never older than the question: each time they are asked for, what the model has noted since is asked first, and
 * what was changed is read anew. A row that was read while a change of it was noted is answered, and not kept.
 */
export class Kept<Row extends { readonly id: string }> implements Dropping {
  readonly #parts: Parts<Row>
  readonly #rows: LRUCache<string, Row>
  /** Of each load that is under way, what was changed since it was asked. */
  readonly #loading = new Set<Set<string>>()

  constructor(parts: Parts<Row>) {
    this.#parts = parts
    this.#rows = new LRUCache({ max: parts.most })
    parts.changes.add(parts.model, this)
  }

  /** What is kept of these, however old. */
  peek(ids: Iterable<string>): Row[] {
    return [...ids].flatMap(id => this.#rows.peek(id) ?? [])
  }

  /** Whether the row, from `peek`, is what `rows` would answer. */
  async isFresh(db: Db, row: Row): Promise<boolean> {
    await this.#parts.changes.follow(db)
    return this.#rows.get(row.id) === row
  }

  /** Rows by id, as new as when this was asked; those that do not exist are absent. */
  async rows(db: Db, ids: Iterable<string>): Promise<Map<string, Row>> {
    const { load, isWhole, changes } = this.#parts
    await changes.follow(db)
    const found = new Map<string, Row>()
    const missing: string[] = []
    for (const id of new Set(ids)) {
      const row = this.#rows.get(id)
      if (row === undefined) missing.push(id)
      else found.set(id, row)
    }
    if (missing.length === 0) return found
    const changed = new Set<string>()
    this.#loading.add(changed)
    try {
      for (const row of await load(db, { ids: missing })) {
        found.set(row.id, row)
        if (!this.#isAmong(changed, row) && (isWhole?.(row) ?? true)) this.#rows.set(row.id, row)
      }
    } finally {
      this.#loading.delete(changed)
    }
    return found
  }

  /** Drops rows that were changed, and those whose owners are gone. */
  drop(changed: ReadonlySet<string>, owners: ReadonlySet<string>): void {
    for (const loading of this.#loading) for (const key of changed) loading.add(key)
    if (changed.has(anyRow)) {
      this.#rows.clear()
      return
    }
    for (const key of changed) this.#rows.delete(key)
    if (owners.size === 0 || this.#parts.ownersOf === undefined) return
    for (const [id, row] of this.#rows.entries()) if (this.#isAmong(owners, row)) this.#rows.delete(id)
  }

  /** Whether any of these changes may have touched the row. */
  #isAmong(changed: ReadonlySet<string>, row: Row): boolean {
    if (changed.size === 0) return false
    const owners = this.#parts.ownersOf?.(row) ?? []
    return changed.has(anyRow) || changed.has(row.id) || owners.some(owner => owner !== null && changed.has(owner))
  }
}

type PairParts<Value> = {
  readonly model: Noting
  readonly changes: Changes
  /** Of so many ones at most something is kept; those not asked about longest go first. */
  readonly most: number
  /** How most stand to each other: what `load` leaves out. */
  readonly none: Value
  readonly load: (
    db: Db,
    asked: { one: string; others: readonly string[] },
  ) => Promise<Iterable<readonly [other: string, value: Value]>>
  /** What is known of the other without asking, once the changes up to now are followed. */
  readonly known?: (other: string) => Value | undefined
}

/** What is kept of one at most: a list that is read far down begins anew. */
const mostOthers = 200

/**
 * How one stands to others, kept as `Kept` keeps rows: never older than the question. A model notes a change by the one; whoever is gone as an owner is
 * forgotten of all.
 */
export class KeptPairs<Value extends NonNullable<unknown>> implements Dropping {
  readonly #parts: PairParts<Value>
  readonly #ones: LRUCache<string, Map<string, Value>>
  /** Of each load that is under way, what was changed since it was asked. */
  readonly #loading = new Set<Set<string>>()

  constructor(parts: PairParts<Value>) {
    this.#parts = parts
    this.#ones = new LRUCache({ max: parts.most })
    parts.changes.add(parts.model, this)
  }

  /** How one stands to each of the others, as new as when this was asked. */
  async of(db: Db, one: string, others: Iterable<string>): Promise<ReadonlyMap<string, Value>> {
    const { load, none, known, changes } = this.#parts
    await changes.follow(db)
    const kept = this.#ones.get(one)
    const found = new Map<string, Value>()
    const missing: string[] = []
    for (const other of new Set(others)) {
      const value = kept?.get(other) ?? known?.(other)
      if (value === undefined) missing.push(other)
      else found.set(other, value)
    }
    if (missing.length === 0) return found
    const changed = new Set<string>()
    this.#loading.add(changed)
    try {
      const loaded = new Map(await load(db, { one, others: missing }))
      for (const other of missing) found.set(other, loaded.get(other) ?? none)
    } finally {
      this.#loading.delete(changed)
    }
    if (!changed.has(anyRow) && !changed.has(one))
      this.#keep(
        one,
        missing.filter(other => !changed.has(other)),
        found,
      )
    return found
  }

  #keep(one: string, others: readonly string[], found: ReadonlyMap<string, Value>): void {
    let kept = this.#ones.get(one)
    if (kept === undefined || kept.size + others.length > mostOthers) {
      kept = new Map()
      this.#ones.set(one, kept)
    }
    for (const other of others.slice(0, mostOthers)) kept.set(other, found.get(other)!)
  }

  drop(changed: ReadonlySet<string>, owners: ReadonlySet<string>): void {
    for (const loading of this.#loading) for (const key of changed) loading.add(key)
    if (changed.has(anyRow)) {
      this.#ones.clear()
      return
    }
    for (const key of changed) this.#ones.delete(key)
    if (owners.size > 0) for (const kept of this.#ones.values()) for (const owner of owners) kept.delete(owner)
  }
}
