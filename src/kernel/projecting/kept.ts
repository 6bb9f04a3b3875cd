import { LRUCache } from 'lru-cache'
import type { Db } from '../sql.ts'
import { anyRow, type Changes, type Dropping, type Noting } from './changes.ts'

/** Reads what is kept, without awaiting: undefined is what there is not, or what was lacking and is loaded before the next look. */
export type Look<Value> = Lacking & { get(id: string): Value | undefined }

type Lacking = { lacks(): boolean; load(db: Db): Promise<void>; end(): void }

/** How often what was lacking, or changed while it was read, is read again. */
const mostLoads = 4

/**
 * Answers from rows of several kinds that belong together, all of them as of one question: `at` reads what is kept, what it lacked is loaded, and it is run again,
 * until it has all. Read one by one instead, an account that went public after it had blocked could be seen with the relation of before. What changes each time,
 * as the relations of somebody whom thousands follow at this moment, is answered as it was read last.
 */
export async function asOfOne<T>(changes: Changes, db: Db, looks: readonly Lacking[], at: () => T): Promise<T> {
  try {
    for (let loads = 0; ; loads++) {
      await changes.follow(db)
      const value = at()
      const lacking = looks.filter(look => look.lacks())
      if (lacking.length === 0 || loads === mostLoads) return value
      await Promise.all(lacking.map(look => look.load(db)))
    }
  } finally {
    for (const look of looks) look.end()
  }
}

/** Answers each for itself: what was changed while it was read is answered as it was read. */
async function eachOf<Value>(changes: Changes, db: Db, look: Look<Value>, ids: Iterable<string>): Promise<Map<string, Value>> {
  await changes.follow(db)
  const found = new Map<string, Value>()
  const answer = (asked: Iterable<string>): string[] => {
    const lacking: string[] = []
    for (const id of asked) {
      const value = look.get(id)
      if (value === undefined) lacking.push(id)
      else found.set(id, value)
    }
    return lacking
  }
  const lacking = answer(ids)
  if (!look.lacks()) return found
  try {
    await look.load(db)
    answer(lacking)
    return found
  } finally {
    look.end()
  }
}

/** A look that holds what it has loaded itself, as long as no change of it was noted: not everything can be kept. */
class OwnLook<Value> implements Look<Value> {
  readonly #kept: (id: string) => Value | undefined
  readonly #load: (db: Db, ids: readonly string[]) => Promise<Iterable<readonly [id: string, value: Value]>>
  readonly #keep: (lasting: readonly (readonly [id: string, value: Value])[]) => void
  readonly #isAmong: (changed: ReadonlySet<string>, id: string, value: Value | null) => boolean
  readonly #loading: Set<Set<string>>
  readonly #changed = new Set<string>()
  /** Null is what was looked for in vain. */
  readonly #own = new Map<string, Value | null>()
  readonly #lacking = new Set<string>()

  constructor(
    kept: (id: string) => Value | undefined,
    load: (db: Db, ids: readonly string[]) => Promise<Iterable<readonly [id: string, value: Value]>>,
    keep: (lasting: readonly (readonly [id: string, value: Value])[]) => void,
    isAmong: (changed: ReadonlySet<string>, id: string, value: Value | null) => boolean,
    loading: Set<Set<string>>,
  ) {
    this.#kept = kept
    this.#load = load
    this.#keep = keep
    this.#isAmong = isAmong
    this.#loading = loading
  }

  get(id: string): Value | undefined {
    const kept = this.#kept(id)
    if (kept !== undefined) return kept
    const own = this.#own.get(id)
    if (own === undefined || this.#isAmong(this.#changed, id, own)) this.#lacking.add(id)
    return own ?? undefined
  }

  lacks(): boolean {
    return this.#lacking.size > 0
  }

  async load(db: Db): Promise<void> {
    for (const [id, value] of this.#own) if (this.#isAmong(this.#changed, id, value)) this.#own.delete(id)
    this.#changed.clear()
    this.#loading.add(this.#changed)
    const ids = [...this.#lacking]
    this.#lacking.clear()
    const loaded = await this.#load(db, ids)
    for (const id of ids) this.#own.set(id, null)
    const lasting: (readonly [string, Value])[] = []
    for (const one of loaded) {
      this.#own.set(...one)
      if (!this.#isAmong(this.#changed, ...one)) lasting.push(one)
    }
    this.#keep(lasting)
  }

  end(): void {
    this.#loading.delete(this.#changed)
  }
}

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

  /** The row if it is kept, however old. */
  peek(id: string): Row | undefined {
    return this.#rows.peek(id)
  }

  /** For `asOfOne`. */
  look(): Look<Row> {
    return new OwnLook(
      id => this.#rows.get(id),
      async (db, ids) => (await this.#parts.load(db, { ids })).map(row => [row.id, row] as const),
      lasting => {
        for (const [, row] of lasting) this.#keep(row)
      },
      (changed, id, row) => (row === null ? changed.has(anyRow) || changed.has(id) : this.#isAmong(changed, row)),
      this.#loading,
    )
  }

  /** Rows by id, each as new as when this was asked; those that do not exist are absent. */
  rows(db: Db, ids: Iterable<string>): Promise<Map<string, Row>> {
    return eachOf(this.#parts.changes, db, this.look(), ids)
  }

  #keep(row: Row): void {
    if (this.#parts.isWhole?.(row) ?? true) this.#rows.set(row.id, row)
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
  /** Pairs that are kept at most; those of whoever has not asked for longest go first. */
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

/** What is kept of one at most: one who reads far down begins anew. */
const mostOthers = 1_000

/**
 * How one stands to others, kept as `Kept` keeps rows: never older than the question. A model notes a change by the one; whoever is gone as an owner is
 * forgotten of all.
 */
export class KeptPairs<Value extends NonNullable<unknown>> implements Dropping {
  readonly #parts: PairParts<Value>
  readonly #ones: LRUCache<string, { readonly others: Map<string, Value> }>
  /** Of each load that is under way, what was changed since it was asked. */
  readonly #loading = new Set<Set<string>>()

  constructor(parts: PairParts<Value>) {
    this.#parts = parts
    this.#ones = new LRUCache({ maxSize: parts.most, sizeCalculation: ({ others }) => others.size + 1 })
    parts.changes.add(parts.model, this)
  }

  /** For `asOfOne`: how one stands to whom it is asked about. */
  look(one: string): Look<Value> {
    const { load, none, known } = this.#parts
    return new OwnLook(
      other => this.#ones.get(one)?.others.get(other) ?? known?.(other),
      async (db, others) => {
        const loaded = new Map(await load(db, { one, others }))
        return others.map(other => [other, loaded.get(other) ?? none] as const)
      },
      lasting => this.#keep(one, lasting),
      (changed, other) => changed.size > 0 && (changed.has(anyRow) || changed.has(one) || changed.has(other)),
      this.#loading,
    )
  }

  /** How one stands to each of the others, each as new as when this was asked. */
  of(db: Db, one: string, others: Iterable<string>): Promise<ReadonlyMap<string, Value>> {
    return eachOf(this.#parts.changes, db, this.look(one), others)
  }

  #keep(one: string, lasting: readonly (readonly [other: string, value: Value])[]): void {
    let others = this.#ones.get(one)?.others
    if (others === undefined || others.size + lasting.length > mostOthers) others = new Map()
    for (const [other, value] of lasting.slice(0, mostOthers)) others.set(other, value)
    // Anew, so that its size is counted.
    this.#ones.set(one, { others })
  }

  drop(changed: ReadonlySet<string>, owners: ReadonlySet<string>): void {
    for (const loading of this.#loading) for (const key of changed) loading.add(key)
    if (changed.has(anyRow)) {
      this.#ones.clear()
      return
    }
    for (const key of changed) this.#ones.delete(key)
    if (owners.size > 0) for (const { others } of this.#ones.values()) for (const owner of owners) others.delete(owner)
  }
}
