import { LRUCache } from 'lru-cache'
import { type Database, type Db, together } from '../sql.ts'
import type { Changes, Dropping, Noting } from './changes.ts'
import { anyRow } from './notes.ts'

/** Reads what is kept, without awaiting: undefined is what there is not, or what was lacking and is loaded before the next look. */
export type Look<Value> = Lacking & { get(id: string): Value | undefined }

type Lacking = {
  /** Whether it was asked for what it has not. */
  lacks(): boolean
  load(db: Db): Promise<void>
  /** Keeps what it has loaded, but for what was changed since. */
  keep(): void
  /** Begins anew, past what is kept and without keeping anything. */
  alone(): void
  end(): void
}

/** How often what was lacking, or changed while it was read, is read again before it is read in one snapshot. */
const mostLoads = 4

/**
 * Answers from rows of several kinds that belong together, all of them as of one question: `at` reads what is kept, what it lacked is loaded, and it is run again,
 * until it has all. Read one by one instead, an account that went public after it had blocked could be seen with the relation of before. What changes each time
 * is read in one snapshot in the end, and not kept.
 * @param apart looks at rows that need not belong to the others, as counters, and that are looked at in no other way: what they lack in the first run is loaded once.
 * `at` holds what it found of them, for it may be gone from what is kept in the next run
 */
export async function asOfOne<T>(
  changes: Changes,
  db: Database,
  looks: readonly Lacking[],
  at: () => T,
  apart: readonly Lacking[] = [],
): Promise<T> {
  await changes.follow(db)
  return asFollowed(changes, db, looks, at, apart)
}

/** The same, where changes were followed just before. */
async function asFollowed<T>(
  changes: Changes,
  db: Database,
  looks: readonly Lacking[],
  at: () => T,
  apart: readonly Lacking[] = [],
): Promise<T> {
  try {
    for (let loads = 0; ; loads++) {
      const value = at()
      const lacking = looks.filter(look => look.lacks())
      const lackingApart = loads === 0 ? apart.filter(look => look.lacks()) : []
      if (lacking.length + lackingApart.length === 0) return value
      if (loads === mostLoads) return await inOneSnapshot(db, looks, at)
      await Promise.all([...lacking, ...lackingApart].map(look => look.load(db)))
      for (const look of lackingApart) look.keep()
      if (lacking.length === 0) continue
      await changes.follow(db)
      // Not before: what is kept is as of the last question of anybody, so that whoever looks finds no row that is newer than the others.
      for (const look of lacking) look.keep()
    }
  } finally {
    for (const look of looks) look.end()
    for (const look of apart) look.end()
  }
}

function inOneSnapshot<T>(db: Database, looks: readonly Lacking[], at: () => T): Promise<T> {
  for (const look of looks) look.alone()
  return db.transaction(async tx => {
    for (;;) {
      const value = at()
      const lacking = looks.filter(look => look.lacks())
      if (lacking.length === 0) return value
      await together(lacking.map(look => look.load(tx)))
    }
  }, 'repeatable read')
}

/** What was changed since something was asked, and the owners among it that are gone. */
type Noted = { readonly changed: Set<string>; readonly owners: Set<string> }

function note(loading: Iterable<Noted>, changed: ReadonlySet<string>, owners: ReadonlySet<string>): void {
  for (const noted of loading) {
    for (const key of changed) noted.changed.add(key)
    for (const key of owners) noted.owners.add(key)
  }
}

/** Where a look finds what is kept, and what it loads. */
type Source<Value> = {
  kept(id: string): Value | undefined
  load(db: Db, ids: readonly string[]): Promise<Iterable<readonly [id: string, value: Value]>>
  keep(lasting: readonly (readonly [id: string, value: Value])[]): void
  /** Whether what was noted may have touched it: exactly where it would be dropped if it were kept. */
  touches(noted: Noted, id: string, value: Value | null): boolean
  /** Of each look that has loaded, what was changed since. */
  readonly loading: Set<Noted>
}

/** What a look has loaded, null what it looked for in vain; what of it is not kept yet; and what was changed since it asked. */
type Loaded<Value> = {
  readonly own: Map<string, Value | null>
  readonly noted: Noted
  lasting: (readonly [id: string, value: Value])[]
}

/** A look that holds what it has loaded itself, as long as no change of it was noted: not everything can be kept. */
class OwnLook<Value> implements Look<Value> {
  readonly #source: Source<Value>
  /** Null until something is lacking: most find all that they ask for. */
  #lacking: Set<string> | null = null
  #loaded: Loaded<Value> | null = null
  #alone = false

  constructor(source: Source<Value>) {
    this.#source = source
  }

  get(id: string): Value | undefined {
    const kept = this.#alone ? undefined : this.#source.kept(id)
    if (kept !== undefined) return kept
    const loaded = this.#loaded
    const own = loaded?.own.get(id)
    if (own === undefined || this.#source.touches(loaded!.noted, id, own)) {
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
    this.#loaded ??= { own: new Map(), noted: { changed: new Set(), owners: new Set() }, lasting: [] }
    const { own, noted } = this.#loaded
    for (const [id, value] of own) if (source.touches(noted, id, value)) own.delete(id)
    noted.changed.clear()
    noted.owners.clear()
    if (!this.#alone) source.loading.add(noted)
    const lasting = [...(await source.load(db, ids))]
    for (const id of ids) own.set(id, null)
    for (const one of lasting) own.set(...one)
    this.#loaded.lasting = lasting
  }

  keep(): void {
    const loaded = this.#loaded
    if (loaded === null || loaded.lasting.length === 0) return
    this.#source.keep(loaded.lasting.filter(one => !this.#source.touches(loaded.noted, ...one)))
    loaded.lasting = []
  }

  alone(): void {
    this.end()
    this.#alone = true
    this.#lacking = null
    this.#loaded = null
  }

  end(): void {
    if (this.#loaded !== null) this.#source.loading.delete(this.#loaded.noted)
  }
}

type Parts<Row> = {
  readonly model: Noting
  /** Another model that rows are made of, which notes its changes by the same ids. */
  readonly with?: Noting
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
 * Rows of a read model, kept in this process and never older than the question: before they are looked at, what the model has noted since is asked, and
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
      touches: ({ changed, owners }, id, row) =>
        changed.size > 0 && (changed.has(anyRow) || changed.has(id) || (row !== null && this.#belongsTo(owners, row))),
      loading: new Set(),
    }
    parts.changes.add(parts.model, this)
    if (parts.with !== undefined) parts.changes.add(parts.with, this)
  }

  /** The row if it is kept, however old. */
  peek(id: string): Row | undefined {
    return this.#rows.peek(id)
  }

  /** For `asOfOne`. */
  look(): Look<Row> {
    return new OwnLook(this.#source)
  }

  /** A row, as new as the question; undefined where it does not exist. */
  async row(db: Database, id: string): Promise<Row | undefined> {
    await this.#parts.changes.follow(db)
    const kept = this.#rows.get(id)
    if (kept !== undefined) return kept
    const look = this.look()
    return asFollowed(this.#parts.changes, db, [look], () => look.get(id))
  }

  /** Drops rows that were changed, and those whose owners are gone. */
  drop(changed: ReadonlySet<string>, owners: ReadonlySet<string>): void {
    note(this.#source.loading, changed, owners)
    if (changed.has(anyRow)) {
      this.#rows.clear()
      return
    }
    for (const key of changed) this.#rows.delete(key)
    if (owners.size === 0 || this.#parts.ownersOf === undefined) return
    for (const [id, row] of this.#rows.entries()) if (this.#belongsTo(owners, row)) this.#rows.delete(id)
  }

  #belongsTo(owners: ReadonlySet<string>, row: Row): boolean {
    if (owners.size === 0 || this.#parts.ownersOf === undefined) return false
    return this.#parts.ownersOf(row).some(owner => owner !== null && owners.has(owner))
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
  /** Counts what was kept and dropped: as long as it stays, a look needs not find its one again. */
  #turn = 0

  constructor(parts: PairParts<Value>) {
    this.#parts = parts
    this.#ones = new LRUCache({ maxSize: parts.most, sizeCalculation: ({ others }) => others.size + 1 })
    parts.changes.add(parts.model, this)
  }

  /** For `asOfOne`: how one stands to whom it is asked about. */
  look(one: string): Look<Value> {
    const { load, none, known } = this.#parts
    let others: ReadonlyMap<string, Value> | undefined
    let found = -1
    const source: Source<Value> = {
      kept: other => {
        if (found !== this.#turn) {
          others = this.#ones.get(one)?.others
          found = this.#turn
        }
        return others?.get(other) ?? known?.(other)
      },
      async load(db, asked) {
        const loaded = new Map(await load(db, { one, others: asked }))
        return asked.map(other => [other, loaded.get(other) ?? none] as const)
      },
      keep: lasting => this.#keep(one, lasting),
      touches: ({ changed, owners }, other) => changed.size > 0 && (changed.has(anyRow) || changed.has(one) || owners.has(other)),
      loading: this.#loading,
    }
    return new OwnLook(source)
  }

  #keep(one: string, lasting: readonly (readonly [other: string, value: Value])[]): void {
    let others = this.#ones.get(one)?.others
    if (others === undefined || others.size + lasting.length > mostOthers) others = new Map()
    for (const [other, value] of lasting.slice(0, mostOthers)) others.set(other, value)
    // Anew, so that its size is counted.
    this.#ones.set(one, { others })
    this.#turn++
  }

  drop(changed: ReadonlySet<string>, owners: ReadonlySet<string>): void {
    note(this.#loading, changed, owners)
    this.#turn++
    if (changed.has(anyRow)) {
      this.#ones.clear()
      return
    }
    for (const key of changed) this.#ones.delete(key)
    if (owners.size > 0) for (const { others } of this.#ones.values()) for (const owner of owners) others.delete(owner)
  }
}
