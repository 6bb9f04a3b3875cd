import type { Event, EventType, Recorded } from '../events.ts'
import type { JournalRow } from '../live/journal.ts'
import { type Db, type RawBuilder, sql, together } from '../sql.ts'
import { type Change, noteChanges } from './notes.ts'

/** A table of a read model: its columns with primary key and constraints, and its further indexes as `(…)` or `using … (…)`, filled after a rebuild. */
export type Table = {
  readonly columns: string
  readonly indexes?: readonly string[]
  /** What is written for those who follow it: a rebuild begins it empty, and nobody compares it with the log. */
  readonly passing?: true
}

/** The tables of one schema, as they stand in SQL: `${t.likes}`. */
export type Tables<Name extends string> = { readonly [T in Name]: RawBuilder<unknown> }

/** What is told after the commit: topics that changed (`post:<id>`), and the rows of the live journal. */
export type Projected = { readonly topics?: readonly string[]; readonly live?: readonly JournalRow[] }

type Parts<E extends Event, Name extends string> = {
  readonly name: string
  /** A changed table or projection is a new number: both releases can serve side by side. */
  readonly version: number
  /** `state` is no print of the log alone (a journal, timers): never rebuilt, never verified. */
  readonly kind?: 'model' | 'state'
  /** Where a new one begins: at the beginning of the log, or at what comes from now on. */
  readonly from?: 'beginning' | 'now'
  /** It may write thousands of rows for one event: others do not commit with it, for they would wait. */
  readonly apart?: boolean
  readonly events: readonly Pick<EventType, 'type'>[]
  readonly tables: Readonly<Record<Name, Table>>
  /** What an event may change of the rows that processes keep, by the event alone. A model that says so has the table `changes`. */
  readonly changes?: (event: Recorded<E>) => readonly Change[]
  /**
   * Writes a batch, in the log's order, into `t` and nowhere else. The same events may come again, in any batches: the rows must come out the same, but for those of
   * passing tables.
   * @param filling a log is replayed into tables that nobody reads yet: rows that `derive` makes may be left out
   */
  project(
    batch: readonly Recorded<E>[],
    tx: Db,
    t: Tables<Name>,
    filling: boolean,
  ): Promise<Projected | undefined> | Promise<void>
  /** Makes the rows that `project` left out while filling, all at once. They follow from the others; so what would have come and gone is never written. */
  derive?(tx: Db, t: Tables<Name>): Promise<void>
}

/** A model without its own types, as the runner sees it. */
export interface ReadModel extends Omit<Parts<Event, string>, 'kind' | 'apart' | 'from' | 'changes' | 'project' | 'derive'> {
  readonly kind: 'model' | 'state'
  readonly apart: boolean
  readonly from: 'beginning' | 'now'
  /** `likes_v1`: the schema that is served, and the key of its checkpoint. */
  readonly key: string
  /** Creates the schema, without the further indexes where they are to follow. */
  ddl(schema: string, indexes: 'now' | 'later'): string[]
  indexDdl(schema: string): string[]
  projectInto(schema: string, batch: readonly Recorded<Event>[], tx: Db, filling?: boolean): Promise<Projected | undefined>
  /** After the last batch that was projected with `filling`. */
  deriveIn(schema: string, tx: Db): Promise<void>
}

/** Declares a read model; `t` are its served tables, for queries. */
export function readModel<E extends Event>() {
  return <const Name extends string>(parts: Parts<E, Name>): ReadModel & { readonly t: Tables<Name> } => {
    const key = `${parts.name}_v${parts.version}`
    const names = Object.keys(parts.tables) as Name[]
    const tablesOf = (schema: string): Tables<Name> =>
      Object.fromEntries(names.map(name => [name, sql.table(`${schema}.${name}`)])) as Tables<Name>
    const served = tablesOf(key)
    const indexDdl = (schema: string): string[] =>
      names.flatMap(name => (parts.tables[name].indexes ?? []).map(index => `create index on ${schema}.${name} ${index}`))
    return {
      name: parts.name,
      version: parts.version,
      kind: parts.kind ?? 'model',
      apart: parts.apart ?? false,
      from: parts.from ?? 'beginning',
      events: parts.events,
      tables: parts.tables,
      key,
      t: served,
      ddl: (schema, indexes) => [
        `create schema ${schema}`,
        ...names.map(name => `create table ${schema}.${name} (${parts.tables[name].columns})`),
        ...(indexes === 'now' ? indexDdl(schema) : []),
      ],
      indexDdl,
      async projectInto(schema, batch, tx, filling = false) {
        const events = batch as unknown as readonly Recorded<E>[]
        const t = schema === key ? served : tablesOf(schema)
        // What is noted needs none of the rows: it goes out with the first of them.
        const [projected] = await together([
          parts.project(events, tx, t, filling),
          !filling && parts.changes && noteChanges(tx, (t as Tables<string>).changes!, events.flatMap(parts.changes)),
        ])
        return projected ?? undefined
      },
      async deriveIn(schema, tx) {
        await parts.derive?.(tx, tablesOf(schema))
      },
    }
  }
}

/** The last item of each key, in the order of the last occurrences: what a batch comes to where only the last word counts. */
export function lastOf<T>(items: readonly T[], keyOf: (item: T) => string): T[] {
  const last = new Map<string, T>()
  for (const item of items) {
    const key = keyOf(item)
    last.delete(key)
    last.set(key, item)
  }
  return [...last.values()]
}
