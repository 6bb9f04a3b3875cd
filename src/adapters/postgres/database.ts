import { once } from 'node:events'
import pg from 'pg'
import { type Problem, unavailable } from '../../kernel/problem.ts'
import { compile, type Database, type Db } from '../../kernel/sql.ts'
import { Pipeline } from './pipeline.ts'

const { Pool, types } = pg

/** int8 as a number (positions and counts stay below 2^53), timestamptz as ISO 8601 UTC, date and json as they come. */
const parsers: Partial<Record<number, (text: string) => unknown>> = {
  [types.builtins.INT8]: Number,
  [types.builtins.TIMESTAMPTZ]: text => new Date(text).toISOString(),
  [types.builtins.DATE]: text => text,
  [types.builtins.NUMERIC]: Number,
}

/** How our columns are read, for every connection that the house opens. */
export const typeParsers: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    (format !== 'binary' && parsers[oid]) || types.getTypeParser(oid, format as 'text')) as typeof types.getTypeParser,
}

/** Milliseconds that a transaction may wait for its own process. */
const idleInTransactionMs = 7_000

/** How every connection of the house is made. */
const connectionOptions = (url: string) => ({
  connectionString: url,
  types: typeParsers,
  connectionTimeoutMillis: 5_000,
  keepAlive: true,
  application_name: 'darkroom',
  // Statements go by name and are written for one plan whatever their values: left to itself Postgres plans those that write rows of arrays anew each time
  // (measured: a third more likes a second; pages of the feed are the same).
  options: '-c plan_cache_mode=force_generic_plan',
  // A process that freezes in the middle of a transaction must not keep its locks from whoever takes over.
  idle_in_transaction_session_timeout: idleInTransactionMs,
})

/** Connections for statements that are read often and quickly. @param most that are open at once */
export const openPipeline = (url: string, most: number, onError: (error: Error) => void): Pipeline =>
  new Pipeline(connectionOptions(url), most, onError)

/** @param most connections that are open at once; a query waits 5 s at most for one @param limit of each statement; none by default */
export function openPool(url: string, most: number, onError: (error: Error) => void, limit: Limit = {}): pg.Pool {
  // A statement need not wait for the answer to the one before it: a transaction's first ones go out together.
  const pool = new Pool({ ...connectionOptions(url), ...limit, max: most, idleTimeoutMillis: 60_000, pipeline: true })
  // An idle connection that breaks is replaced by the pool; without a listener the process would end.
  pool.on('error', onError)
  const open = new Set<pg.PoolClient>()
  pool.on('connect', client => {
    open.add(client)
    // Whoever has it is told by their next statement; but it may break between its making and their having it, and an error that nobody listens to ends the process.
    client.on('error', () => {})
  })
  pool.on('remove', client => open.delete(client))
  connections.set(pool, open)
  return pool
}

const connections = new WeakMap<pg.Pool, Set<pg.PoolClient>>()

/** Ends a pool and waits until its connections are closed: `end` alone resolves before that, and a server that stops next would cut them off. */
export async function closePool(pool: pg.Pool): Promise<void> {
  await pool.end()
  const open = connections.get(pool) ?? new Set()
  while (open.size > 0) await once(pool, 'remove')
}

/** How many connections of a pool are open and idle, and how many statements wait for one. */
export const busyness = (pool: pg.Pool): { open: number; idle: number; waiting: number } => ({
  open: pool.totalCount,
  idle: pool.idleCount,
  waiting: pool.waitingCount,
})

/** What statements run on: the pool, one connection of it, or the pipeline. */
type Running = {
  query<Row extends pg.QueryResultRow>(config: pg.QueryConfig): Promise<pg.QueryResult<Row>>
  query<Row extends unknown[]>(config: pg.QueryArrayConfig): Promise<pg.QueryArrayResult<Row>>
}

const runner = (client: Running, limit: Limit): Db => {
  const runCompiled = async <Row>(name: string, text: string, values: readonly unknown[]): Promise<Row[]> =>
    (await client.query({ ...limit, name, text, values: [...values] })).rows as Row[]
  return {
    runCompiled,
    async runArrays(name, text, values) {
      const { fields, rows } = await client.query<unknown[]>({ ...limit, name, text, values: [...values], rowMode: 'array' })
      return { columns: fields.map(field => field.name), rows }
    },
    run(statement) {
      const { name, text, values } = compile(statement)
      return runCompiled(name, text, values)
    },
  }
}

/** A connection that sends what is asked of it in one go, before anything is awaited, in one write. */
const corked = (client: pg.PoolClient): Running => {
  let waiting = false
  const { stream } = (client as pg.PoolClient & pg.Client).connection
  stream.cork()
  process.nextTick(() => stream.uncork())
  return {
    query(config: pg.QueryConfig & pg.QueryArrayConfig) {
      if (!waiting) {
        waiting = true
        stream.cork()
        process.nextTick(() => {
          waiting = false
          stream.uncork()
        })
      }
      return client.query(config)
    },
  }
}

/** What queries that are built once run by. */
const builtOnce = ({ runCompiled, runArrays }: Db): Pick<Db, 'runCompiled' | 'runArrays'> => ({ runCompiled, runArrays })

type Limit = { readonly query_timeout?: number }

/** Milliseconds after which a statement of somebody who waits has failed: a database that is frozen or unreachable answers nothing at all. */
export const answerWithin: Limit = { query_timeout: 10_000 }

/**
 * The kernel's view of a pool.
 * @param limit of each statement; none by default, for what may take as long as it takes
 * @param pipeline where queries run that are built once, but in transactions; the pool by default
 */
export function database(pool: pg.Pool, limit: Limit = {}, pipeline?: Pipeline): Database {
  return {
    ...runner(pool, limit),
    ...(pipeline === undefined ? {} : builtOnce(runner(pipeline, limit))),
    async transaction(work, isolation = 'read committed') {
      const client = await pool.connect()
      let broken: Error | undefined
      // While it is ours the pool does not listen, and would take one back that broke between two statements.
      const breaks = (error: Error): void => {
        broken = error
      }
      client.on('error', breaks)
      try {
        const [begun, worked] = await Promise.allSettled([
          client.query({ ...limit, text: `begin isolation level ${isolation}` }),
          work(runner(corked(client), limit)),
        ])
        if (begun.status === 'rejected') throw begun.reason
        if (worked.status === 'rejected') throw worked.reason
        await client.query({ ...limit, text: 'commit' })
        return worked.value
      } catch (error) {
        // A connection that does not answer is closed, and what was begun on it ends with it.
        if (isTimeout(error)) broken = error as Error
        else
          await client.query('rollback').catch((failed: Error) => {
            broken = failed
          })
        throw error
      } finally {
        client.off('error', breaks)
        client.release(broken)
      }
    },
  }
}

const isTimeout = (error: unknown): boolean => error instanceof Error && error.message === 'Query read timeout'

/** Errors that say nothing about the statement: of the connection (08), of idle transactions (25P03), of locks and serialisation (40, 55P03), of resources (53), of the operator (57). */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = (error as { code?: unknown }).code
  if (typeof code === 'string') {
    if (/^(08|40|53|57|58)[0-9A-Z]{3}$/.test(code) || code === '55P03' || code === '25P03') return true
    if (/^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN)/.test(code)) return true
  }
  return (
    isTimeout(error) ||
    /timeout exceeded when trying to connect|Connection terminated|Client has encountered a connection error|Cannot use a pool after/i.test(
      error.message,
    )
  )
}

/** The database is away: 503, to be repeated. */
export const databaseProblem = (error: unknown): Problem | null =>
  isTransient(error) ? unavailable('The database does not answer right now; try again.', 2, error) : null
