import { type Column, type Db, query, type RawBuilder, sql } from './sql.ts'

type Columns = Readonly<Record<string, Column>>
type Items<C extends Columns> = readonly { readonly [Name in keyof C]: unknown }[]

/** Arrays of one type a column, `unnest`ed to rows. json columns come as text. */
function unnested(alias: string, columns: Columns, arrayOf: (name: string) => RawBuilder<unknown>): RawBuilder<unknown> {
  const arrays = Object.entries(columns).map(([name, type]) =>
    type === 'json' || type === 'jsonb'
      ? sql`(${arrayOf(name)}::text[])::${sql.raw(type)}[]`
      : sql`${arrayOf(name)}::${sql.raw(type)}[]`,
  )
  const list = sql.join(Object.keys(columns).map(name => sql.id(name)))
  return sql`unnest(${sql.join(arrays)}) as ${sql.id(alias)}(${list})`
}

function valuesOf<C extends Columns>(columns: C, items: Items<C>, name: keyof C): unknown[] {
  const json = columns[name] === 'json' || columns[name] === 'jsonb'
  return items.map(item => {
    const value = item[name]
    return value === undefined || value === null ? null : json ? JSON.stringify(value) : value
  })
}

/**
 * A set of rows as a `from` item, by `unnest` of one array a column: `from ${rows('said', { actor: 'uuid', at: 'timestamptz' }, items)}`.
 * The statement's text is the same for any number of rows. json columns take values, not text.
 */
export const rows = <const C extends Columns>(alias: string, columns: C, items: Items<C>): RawBuilder<unknown> =>
  unnested(alias, columns, name => sql`${sql.val(valuesOf(columns, items, name))}`)

/**
 * A statement on a set of rows that runs for nearly every event: built and compiled once for the served tables, as `query` is, which for a single row is half of
 * what it costs here. For tables that a rebuild fills, whose batches are large, it is compiled for each batch.
 * ```ts
 * const see = writing({ account: 'uuid', position: 'bigint' }, (said, t: T) => sql`insert into ${t.seen} select account, position from ${said} …`)
 * await see(tx, t, items)
 * ```
 * @param build is given the rows as a `from` item named `said`
 */
export function writing<const C extends Columns, On extends object, Row = object>(
  columns: C,
  build: (said: RawBuilder<unknown>, on: On) => RawBuilder<Row>,
): (tx: Db, on: On, items: Items<C>) => Promise<Row[]> {
  const names = Object.keys(columns)
  const made = new WeakMap<On, (db: Db, parameters: Record<string, unknown>) => Promise<Row[]>>()
  return (tx, on, items) => {
    let run = made.get(on)
    if (run === undefined) {
      run = query<Record<string, unknown>, Row>(p =>
        build(
          unnested('said', columns, name => p[name]!),
          on,
        ),
      )
      made.set(on, run)
    }
    return run(tx, Object.fromEntries(names.map(name => [name, valuesOf(columns, items, name)])))
  }
}
