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
import { unavailable } from './problem.ts'

export { type RawBuilder, sql }

/** Something that runs SQL: the pool, or one transaction. */
export interface Db {
  /** Runs a statement by a name made from its text, so that Postgres parses and plans it once a connection. */
  run<Row>(statement: RawBuilder<Row>): Promise<Row[]>
  runCompiled<Row>(name: string, text: string, values: readonly unknown[]): Promise<Row[]>
  /** The same with each row as its values, in the order of `columns`. */
  runArrays(name: string, text: string, values: readonly unknown[]): Promise<{ columns: string[]; rows: unknown[][] }>
}

/** The pool: statements of their own, and transactions. */
export interface Database extends Db {
  /** All or nothing. `repeatable read` gives every statement the same snapshot. */
  transaction<T>(work: (tx: Db) => Promise<T>, isolation?: 'read committed' | 'repeatable read'): Promise<T>
}

/**
 * Work of one transaction that need not wait for each other: what each begins with goes out in one write. Ends when all of it has: what went on when the
 * transaction is over would write outside of it.
 * @throws what failed, not what Postgres refuses after that
 */
export async function together<const Work extends readonly unknown[]>(
  work: Work,
): Promise<{ -readonly [I in keyof Work]: Awaited<Work[I]> }> {
  try {
    return await Promise.all(work)
  } catch (error) {
    const ended = await Promise.allSettled(work)
    // Answers that came together are told in the order of how deeply they are awaited, not of what was asked.
    const reasons = [error, ...ended.filter(one => one.status === 'rejected').map(({ reason }): unknown => reason)]
    throw reasons.find(reason => !isAftermath(reason)) ?? error
  }
}

/** in_failed_sql_transaction: a statement that Postgres did not look at, for one before it had failed. */
const isAftermath = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === '25P02'

/** Milliseconds. */
const asOfMs = 100

/**
 * The database as one request reads it. What it followed of changes serves it until it reads anything else: that is of another time, and could not be laid
 * beside what was followed before. So a page of what is kept costs one question, that of who asks. Nor does it serve what comes later than `asOfMs`: a
 * body may come as slowly as its sender likes.
 */
export class OneRequest implements Database {
  readonly #pool: Database
  /** Reads that began and that ended. */
  #reads = 0
  /** How many they were when changes were followed last, and when that was. */
  #followed = -1
  #at = 0
  #over = false

  constructor(pool: Database) {
    this.#pool = pool
  }

  /** Reads by the pool: what many ask at the same time goes out together. */
  async read<T>(ask: (pool: Database) => Promise<T>): Promise<T> {
    this.#reads++
    try {
      return await ask(this.#pool)
    } finally {
      this.#reads++
    }
  }

  /** Follows changes, unless nothing was read since it did. @throws what `ask` throws */
  async follow(ask: (pool: Database) => Promise<void>): Promise<void> {
    if (this.#followed === this.#reads && performance.now() - this.#at < asOfMs && !this.#over) return
    const reads = this.#reads
    await ask(this.#pool)
    this.#followed = reads
    this.#at = performance.now()
  }

  /** What was followed serves no more: something was written or waited for. */
  anew(): void {
    this.#reads++
  }

  /** With the request's answer: whoever still holds it follows anew each time. */
  end(): void {
    this.#over = true
  }

  run<Row>(statement: RawBuilder<Row>): Promise<Row[]> {
    return this.read(pool => pool.run(statement))
  }
  runCompiled<Row>(name: string, text: string, values: readonly unknown[]): Promise<Row[]> {
    return this.read(pool => pool.runCompiled<Row>(name, text, values))
  }
  runArrays(name: string, text: string, values: readonly unknown[]): Promise<{ columns: string[]; rows: unknown[][] }> {
    return this.read(pool => pool.runArrays(name, text, values))
  }
  transaction<T>(work: (tx: Db) => Promise<T>, isolation?: 'read committed' | 'repeatable read'): Promise<T> {
    return this.read(pool => pool.transaction(work, isolation))
  }
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

type Placeholders<Parameters> = { readonly [Name in keyof Parameters]: RawBuilder<Parameters[Name]> }

/**
 * A query that runs often: built and compiled once, at the first call, with a placeholder for each parameter; run by name ever after.
 * ```ts
 * const postsOf = query<{ authorId: string; limit: number }, PostRow>(p => sql`select … where author = ${p.authorId} limit ${p.limit}`)
 * const rows = await postsOf(db, { authorId, limit: 20 })
 * ```
 */
export function query<Parameters extends object, Row>(
  build: (p: Placeholders<Parameters>) => RawBuilder<unknown>,
): (db: Db, parameters: Parameters) => Promise<Row[]> {
  let compiled: { name: string; text: string; order: readonly (keyof Parameters)[]; fixed: readonly unknown[] } | undefined
  return (db, parameters) => {
    if (compiled === undefined) {
      const placeholders = new Proxy({} as Placeholders<Parameters>, { get: (_, name) => sql`${new Parameter(String(name))}` })
      const { name, text, values } = compile(build(placeholders))
      const order = values.map(value => (value instanceof Parameter ? value.name : '') as keyof Parameters)
      compiled = { name, text, order, fixed: values }
    }
    const { name, text, order, fixed } = compiled
    const values = order.map((parameter, index) => (parameter === '' ? fixed[index] : parameters[parameter]))
    return db.runCompiled<Row>(name, text, values)
  }
}

/**
 * How a parameter of a grouped query is sent. Arrays go as text, for Postgres knows no arrays of arrays of unlike lengths; a `limit`, which must not differ
 * within a statement, stands once: only those with the same one go together.
 */
type ParameterType = Column | 'uuid[]' | 'limit'

/** A question of a group, and all who asked it: what was asked twice before it went out is looked up once. */
type Asked = {
  readonly values: readonly unknown[]
  readonly limit: unknown
  readonly by: { readonly resolve: (rows: object[]) => void; readonly reject: (error: unknown) => void }[]
}

/** Statements of one query that may be under way at once: what is asked meanwhile waits for the next. */
const groupsAtOnce = 2
const groupSize = 200
/** Milliseconds after which who waits is sent all the same: a database that answers nothing is noticed by each statement's own limit. */
const patience = 1_000
const mostWaiting = 20_000

/**
 * A query that many ask at the same time, as `query` in all else: what is asked in one turn of the event loop, or while others wait for their answers, goes out
 * as one statement, in which each asks for itself (`lateral`), after it was asked. A statement costs both ends more than what most of these look up.
 * Who asks the same gets the same rows: not to be changed by who reads them.
 * ```ts
 * const postsOf = grouped<{ authorId: string; limit: number }, PostRow>({ authorId: 'uuid', limit: 'limit' }, p => sql`select … limit ${p.limit}`)
 * ```
 * Where the statement fails, it fails for all that were in it: only for what reads, with parameters that were parsed.
 * @throws Problem unavailable where too many wait
 */
export function grouped<Parameters extends object, Row>(
  types: { readonly [Name in keyof Parameters]: ParameterType },
  build: (p: Placeholders<Parameters>) => RawBuilder<unknown>,
): (db: Db, parameters: Parameters) => Promise<Row[]> {
  const all = Object.keys(types) as (keyof Parameters & string)[]
  const names = all.filter(name => types[name] !== 'limit')
  const limiting = all.find(name => types[name] === 'limit')
  let compiled: { name: string; text: string } | undefined
  const statement = (): { name: string; text: string } => {
    const limit = new Parameter('limit')
    const parameters = all.map(name => {
      return [name, types[name] === 'limit' ? sql`${limit}::int` : sql`asked.${sql.id(name)}`]
    })
    const arrays = names.map(name => sql`${new Parameter(name)}::${sql.raw(types[name] === 'uuid[]' ? 'text' : types[name])}[]`)
    const columns = names.map(name => (types[name] === 'uuid[]' ? sql`${sql.id(name)}::uuid[]` : sql.id(name)))
    // `offset 0` keeps the planner from reading an array's text wherever it stands, and from making one join of it all: the plan is that of one who asks, for each.
    const { name, text, values } = compile(sql`
      select asked.n, one.* from (
        select n::int, ${sql.join(columns)} from unnest(${sql.join(arrays)}) with ordinality as _(${sql.join(names.map(each => sql.id(each)))}, n) offset 0
      ) asked
      cross join lateral (select * from (${build(Object.fromEntries(parameters))}) every offset 0) one`)
    order = values.map(value => {
      if (value instanceof Parameter) return value.name
      throw new Error('A grouped query takes its values from its parameters.')
    })
    return { name, text }
  }
  let order: string[] = []
  const groups = new WeakMap<Db, Group>()
  const ask = (db: Db, parameters: Parameters): Promise<Row[]> => {
    let group = groups.get(db)
    if (group === undefined) {
      compiled ??= statement()
      const { name, text } = compiled
      group = new Group(asked => {
        const column = (of: string): unknown => {
          if (of === 'limit') return asked[0]!.limit
          const index = names.indexOf(of as (typeof names)[number])
          return asked.map(({ values }) => values[index])
        }
        return db.runArrays(name, text, order.map(column))
      })
      groups.set(db, group)
    }
    return group.ask(
      names.map(name => {
        const value = parameters[name]
        return types[name] === 'uuid[]' ? `{${(value as readonly string[]).join(',')}}` : value
      }),
      limiting === undefined ? null : parameters[limiting],
    )
  }
  return (db, parameters) => (db instanceof OneRequest ? db.read(pool => ask(pool, parameters)) : ask(db, parameters))
}

/** Who waits for one query on one database. */
class Group {
  readonly #run: (asked: readonly Asked[]) => Promise<{ columns: string[]; rows: unknown[][] }>
  /** By the question, in the order in which they were first asked. */
  readonly #waiting = new Map<string, Asked>()
  /** Who asked, over all questions. */
  #asking = 0
  #underWay = 0
  #scheduled = false
  #impatient: NodeJS.Timeout | null = null

  constructor(run: (asked: readonly Asked[]) => Promise<{ columns: string[]; rows: unknown[][] }>) {
    this.#run = run
  }

  ask<Row>(values: readonly unknown[], limit: unknown): Promise<Row[]> {
    if (this.#asking >= mostWaiting) return Promise.reject(unavailable('Too much is asked at this moment; try again.'))
    return new Promise<Row[]>((answered, reject) => {
      const resolve = (rows: object[]): void => answered(rows as Row[])
      const question = JSON.stringify([limit, ...values])
      const asked = this.#waiting.get(question)
      if (asked === undefined) this.#waiting.set(question, { values, limit, by: [{ resolve, reject }] })
      else asked.by.push({ resolve, reject })
      this.#asking++
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.size === 0) return
    if (this.#underWay >= groupsAtOnce) {
      this.#impatient ??= setTimeout(() => {
        this.#impatient = null
        while (this.#waiting.size > 0) this.#send()
      }, patience)
      return
    }
    this.#scheduled = true
    // After what this turn of the event loop has read from all sockets.
    setImmediate(() => {
      this.#scheduled = false
      if (this.#waiting.size > 0) this.#send()
      this.#schedule()
    })
  }

  #send(): void {
    this.#underWay++
    this.#answer(this.#next()).finally(() => {
      this.#underWay--
      if (this.#impatient !== null) clearTimeout(this.#impatient)
      this.#impatient = null
      this.#schedule()
    })
  }

  #next(): Asked[] {
    const next: Asked[] = []
    for (const [question, asked] of this.#waiting) {
      if (next.length === groupSize) break
      if (next.length > 0 && asked.limit !== next[0]!.limit) continue
      next.push(asked)
      this.#waiting.delete(question)
      this.#asking -= asked.by.length
    }
    return next
  }

  async #answer(group: readonly Asked[]): Promise<void> {
    try {
      const { columns, rows } = await this.#run(group)
      const answers: object[][] = group.map(() => [])
      for (const values of rows) {
        const row: Record<string, unknown> = {}
        for (let column = 1; column < columns.length; column++) row[columns[column]!] = values[column]
        answers[(values[0] as number) - 1]!.push(row)
      }
      for (const [index, { by }] of group.entries()) for (const { resolve } of by) resolve(answers[index]!)
    } catch (error) {
      for (const { by } of group) for (const { reject } of by) reject(error)
    }
  }
}

/**
 * Whether there is the one row, looked up for each that asks. `exists` may be answered from all rows that anybody asks for instead, read at once: all likes
 * of an account for the twenty posts of a page.
 * @param rest of the select, from its `from` on: one row at most
 */
export const found = (rest: RawBuilder<unknown>): RawBuilder<boolean> => sql<boolean>`coalesce((select true ${rest}), false)`

/** A type of a column, or of a parameter. */
export type Column =
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

export type { Compilable }
