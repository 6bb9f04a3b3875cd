import { LRUCache } from 'lru-cache'
import type { Db } from '../sql.ts'
import { anyRow, type Changes, type Dropping, type Noting } from './changes.ts'

/** Reads what is kept, without awaiting: undefined is what there is not, or what was lacking and is loaded before the next look. */
export type Look<Value> = Lacking & { get(id: string): Value | undefined }

type Lacking = {
  /** Whether it was asked for what it has not. */
  lacks(): boolean
  load(db: Db): Promise<void>
  end(): void
  readonly apart: boolean
}

/** `apart`: what is changed while it is read is answered as it was read, for it needs not belong to the rest, as counters. */
export type HowToLook = { readonly apart: boolean }
const together: HowToLook = { apart: false }
export const apart: HowToLook = { apart: true }

/** How often what was lacking, or changed while it was read, is read again. */
const mostLoads = 4

/**
 * Answers from rows of several kinds that belong together, all of them as of one question: `at` reads what is kept, what it lacked is loaded, and it is run again,
 * until it has all. Read one by one instead, an account that went public after it had blocked could be seen with the relation of before. What changes each time,
 * as the relations of somebody whom thousands follow at this moment, is answered as it was read last.
 */
export async function asOfOne<T>(changes: Changes, db: Db, looks: readonly Lacking[], at: () => T): Promise<T> {
  try {
    await changes.follow(db)
    for (let loads = 0; ; loads++) {
      const value = at()
      const lacking = looks.filter(look => look.lacks())
      if (lacking.length === 0 || loads === mostLoads) return value
      await Promise.all(lacking.map(look => look.load(db)))
      // All that was kept is as of the last question of anybody; what was loaded is so once changes are followed again.
      if (lacking.some(look => !look.apart)) await changes.follow(db)
    }
  } finally {
    for (const look of looks) look.end()
  }
}

/** Where a look finds what is kept, and what it loads. */
type Source<Value> = {
  kept(id: string): Value | undefined
  load(db: Db, ids: readonly string[]): Promise<Iterable<readonly [id: string, value: Value]>>
  keep(lasting: readonly (readonly [id: string, value: Value])[]): void
  isAmong(changed: ReadonlySet<string>, id: string, value: Value | null): boolean
  /** Of each load that is under way, what was changed since it was asked. */
  readonly loading: Set<Set<string>>
}

/** A look that holds what it has loaded itself, as long as no change of it was noted: not everything can be kept. */
class OwnLook<Value> implements Look<Value> {
  readonly #source: Source<Value>
  readonly apart: boolean
  /** Null until something is lacking: most find all that they ask for. */
  #lacking: Set<string> | null = null
  #loaded: { readonly changed: Set<string>; readonly own: Map<string, Value | null> } | null = null

  constructor(source: Source<Value>, { apart }: HowToLook) {
    this.#source = source
    this.apart = apart
  }

  get(id: string): Value | undefined {
    const kept = this.#source.kept(id)
    if (kept !== undefined) return kept
    // Null is what was looked for in vain.
    const own = this.#loaded?.own.get(id)
    if (own === undefined || (!this.apart && this.#source.isAmong(this.#loaded!.changed, id, own))) {
      this.#lacking ??= new Set()
      this.#lacking.add(id)
    }
    return own ?? undefined
  }

  lacks(): boolean {
    return this.#lacking !== null
  }

  async load(db: Db): Promise<void> {
    const source = this.#source
    const ids = [...(this.#lacking ?? [])]
    this.#lacking = null
    this.#loaded ??= { changed: new Set(), own: new Map() }
    const { changed, own } = this.#loaded
    if (!this.apart) for (const [id, value] of own) if (source.isAmong(changed, id, value)) own.delete(id)
    changed.clear()
    source.loading.add(changed)
    const loaded = await source.load(db, ids)
    for (const id of ids) own.set(id, null)
    const lasting: (readonly [string, Value])[] = []
    for (const one of loaded) {
      own.set(...one)
      if (!source.isAmong(changed, ...one)) lasting.push(one)
    }
    source.keep(lasting)
  }

  end(): void {
    if (this.#loaded !== null) this.#source.loading.delete(this.#loaded.changed)
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
  readonly #source: Source<Row>

  constructor(parts: Parts<Row>) {
    this.#parts = parts
    this.#rows = new LRUCache({ max: parts.most })
    this.#source = {
      kept: id => this.#rows.get(id),
      load: async (db, ids) => (await parts.load(db, { ids })).map(row => [row.id, row] as const),
      keep: lasting => {
        for (const [id, row] of lasting) if (parts.isWhole?.(row) ?? true) this.#rows.set(id, row)
      },
      isAmong: (changed, id, row) => (row === null ? changed.has(anyRow) || changed.has(id) : this.#isAmong(changed, row)),
      loading: new Set(),
    }
    parts.changes.add(parts.model, this)
  }

  /** The row if it is kept, however old. */
  peek(id: string): Row | undefined {
    return this.#rows.peek(id)
  }

  /** For `asOfOne`. */
  look(how = together): Look<Row> {
    return new OwnLook(this.#source, how)
  }

  /** A row, as new as when this was asked; undefined where it does not exist. */
  row(db: Db, id: string): Promise<Row | undefined> {
    const look = this.look(apart)
    return asOfOne(this.#parts.changes, db, [look], () => look.get(id))
  }

  /** Drops rows that were changed, and those whose owners are gone. */
  drop(changed: ReadonlySet<string>, owners: ReadonlySet<string>): void {
    for (const loading of this.#source.loading) for (const key of changed) loading.add(key)
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
  readonly #loading: Source<Value>['loading'] = new Set()

  constructor(parts: PairParts<Value>) {
    this.#parts = parts
    this.#ones = new LRUCache({ maxSize: parts.most, sizeCalculation: ({ others }) => others.size + 1 })
    parts.changes.add(parts.model, this)
  }

  /** For `asOfOne`: how one stands to whom it is asked about. */
  look(one: string, how = together): Look<Value> {
    const { load, none, known } = this.#parts
    const source: Source<Value> = {
      kept: other => this.#ones.get(one)?.others.get(other) ?? known?.(other),
      async load(db, others) {
        const loaded = new Map(await load(db, { one, others }))
        return others.map(other => [other, loaded.get(other) ?? none] as const)
      },
      keep: lasting => this.#keep(one, lasting),
      isAmong: (changed, other) => changed.size > 0 && (changed.has(anyRow) || changed.has(one) || changed.has(other)),
      loading: this.#loading,
    }
    return new OwnLook(source, how)
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
