import { createHash } from 'node:crypto'
import {
  type Compilable,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type RawBuilder,
  sql,
} from 'kysely'

export { type RawBuilder, sql }

/** Something that runs SQL: the pool, or one transaction. */
export interface Db {
  /** Runs a statement by a name made from its text, so that Postgres parses and plans it once a connection. */
  run<Row>(statement: RawBuilder<Row>): Promise<Row[]>
  runCompiled<Row>(name: string, text: string, values: readonly unknown[]): Promise<Row[]>
}

/** The pool: statements of their own, and transactions. */
export interface Database extends Db {
  /** All or nothing. `repeatable read` gives every statement the same snapshot. */
  transaction<T>(work: (tx: Db) => Promise<T>, isolation?: 'read committed' | 'repeatable read'): Promise<T>
}

/** Kysely as a compiler alone: it never runs anything. */
const compiler = new Kysely<unknown>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: db => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
})

const names = new Map<string, string>()

/** The name that a statement of this text goes by. Texts are made by code alone, so their number is bounded. */
function nameOf(text: string): string {
  let name = names.get(text)
  if (name === undefined) {
    name = createHash('sha1').update(text).digest('base64url')
    names.set(text, name)
  }
  return name
}

/** The text, name and values of a statement. */
export function compile(statement: RawBuilder<unknown>): { name: string; text: string; values: readonly unknown[] } {
  const { sql: text, parameters } = statement.compile(compiler)
  return { name: nameOf(text), text, values: parameters }
}

class Parameter {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

/**
 * A query that runs often: built and compiled once, at the first call, with a placeholder for each parameter; run by name ever after.
 * ```ts
 * const postsOf = query<{ authorId: string; limit: number }, PostRow>(p => sql`select … where author = ${p.authorId} limit ${p.limit}`)
 * const rows = await postsOf(db, { authorId, limit: 20 })
 * ```
 */
export function query<Parameters extends object, Row>(
  build: (p: { readonly [Name in keyof Parameters]: RawBuilder<Parameters[Name]> }) => RawBuilder<unknown>,
): (db: Db, parameters: Parameters) => Promise<Row[]> {
  let compiled: { name: string; text: string; order: readonly (keyof Parameters)[]; fixed: readonly unknown[] } | undefined
  return (db, parameters) => {
    if (compiled === undefined) {
      const placeholders = new Proxy({}, { get: (_, name) => sql`${new Parameter(String(name))}` })
      const { name, text, values } = compile(build(placeholders as never))
      const order = values.map(value => (value instanceof Parameter ? value.name : '') as keyof Parameters)
      compiled = { name, text, order, fixed: values }
    }
    const { name, text, order, fixed } = compiled
    const values = order.map((parameter, index) => (parameter === '' ? fixed[index] : parameters[parameter]))
    return db.runCompiled<Row>(name, text, values)
  }
}

/**
 * Whether there is the one row, looked up for each that asks. `exists` may be answered from all rows that anybody asks for instead, read at once: all likes
 * of an account for the twenty posts of a page.
 * @param rest of the select, from its `from` on: one row at most
 */
export const found = (rest: RawBuilder<unknown>): RawBuilder<boolean> => sql<boolean>`coalesce((select true ${rest}), false)`

type Column =
  | 'uuid'
  | 'text'
  | 'int'
  | 'bigint'
  | 'boolean'
  | 'timestamptz'
  | 'json'
  | 'jsonb'
  | 'date'
  | 'real'
  | 'double precision'

/**
 * A set of rows as a `from` item, by `unnest` of one array a column: `from ${rows('said', { actor: 'uuid', at: 'timestamptz' }, items)}`.
 * The statement's text is the same for any number of rows. json columns take values, not text.
 */
export function rows<const Columns extends Readonly<Record<string, Column>>>(
  alias: string,
  columns: Columns,
  items: readonly { readonly [Name in keyof Columns]: unknown }[],
): RawBuilder<unknown> {
  const arrays = Object.entries(columns).map(([name, type]) => {
    const json = type === 'json' || type === 'jsonb'
    const values = items.map(item => {
      const value = item[name]
      return value === undefined || value === null ? null : json ? JSON.stringify(value) : value
    })
    return json ? sql`(${sql.val(values)}::text[])::${sql.raw(type)}[]` : sql`${sql.val(values)}::${sql.raw(type)}[]`
  })
  const list = sql.join(Object.keys(columns).map(name => sql.id(name)))
  return sql`unnest(${sql.join(arrays)}) as ${sql.id(alias)}(${list})`
}

export type { Compilable }
