import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { closePool, database, openPool } from '../src/adapters/postgres/database.ts'
import { connectionOf } from '../src/adapters/postgres/embedded.ts'
import type { Foundation } from '../src/app.ts'
import { demoPassword } from '../src/cli/invention.ts'
import { type LoadSize, loadedUsername, openLoaded, usual } from '../src/cli/load.ts'
import { allModels } from '../src/cli/models.ts'
import { readConfig } from '../src/config.ts'
import { positionsOf } from '../src/kernel/consistency.ts'
import { type Database, sql } from '../src/kernel/sql.ts'
import { setUp } from '../src/setup.ts'
import { type ServerProcess, startServer } from '../tests/support/server.ts'
import { parentOf } from './processor.ts'

export type Sizes = {
  readonly accounts: number
  readonly posts: number
  readonly followees: number
  /** Of one measurement. */
  readonly seconds: number
  /** Live sockets at the same time, at most. */
  readonly sockets: number
  /** As the loader has them: accounts that follow the first one alone, and how many the second one follows. */
  readonly crowd?: number
  readonly eager?: number
}

/** Somebody loaded, with a session. */
export type Reader = { readonly id: string; readonly headers: { readonly Authorization: string } }

const readerCount = 64
const unusedEach = 400

/** Readers stand evenly among all, so that as many follow them as others. */
const readerNumbers = (accounts: number): number[] => {
  const count = Math.min(readerCount, accounts)
  return Array.from({ length: count }, (_, n) => Math.floor((n * accounts) / count))
}

/** Where everything lives; removed at the end. */
export const makeFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 'darkroom-bench-'))
export const removeFolder = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true })

/** Fills the folder's database, and does `work` on it before a server runs. */
export async function loaded(
  folder: string,
  sizes: Sizes,
  work: (foundation: Foundation, url: string) => Promise<void>,
): Promise<void> {
  const config = readConfig({ DATA_DIR: folder, LOG_LEVEL: 'warn' })
  const setup = await setUp(config)
  try {
    const readers = new Set(readerNumbers(sizes.accounts))
    const size: LoadSize = {
      ...sizes,
      likes: usual.likes,
      comments: usual.comments,
      unused: n => (readers.has(n) ? unusedEach : 0),
    }
    const foundation = await openLoaded({ config, setup, models: allModels }, size)
    try {
      await work(foundation, setup.databaseUrl)
      // As a network stands that grew for years: else autovacuum and the writing back of all this come beside whatever is measured a minute later.
      await foundation.db.run(sql`vacuum (freeze, analyze)`)
      // What was found empty is taken for empty until Postgres looks again, a minute later, and is planned for so meanwhile: no network that grew knows that.
      for (const { key, tables } of allModels)
        for (const name of Object.keys(tables)) {
          const table = sql.table(`${key}.${name}`)
          const [row] = await foundation.db.run<{ empty: boolean }>(sql`select not exists (select from ${table}) as empty`)
          if (row!.empty) await foundation.db.run(sql`truncate ${table}`)
        }
      await foundation.db.run(sql`checkpoint`)
    } finally {
      await foundation.close()
    }
  } finally {
    await setup.close()
  }
}

export type Deployment = {
  readonly url: string
  /** Where the server keeps pictures. */
  readonly mediaDir: string
  readonly databaseUrl: string
  /** For looking at what came of it. */
  readonly db: Database
  readonly server: ServerProcess
  /** Of the server and of its Postgres, for what they take of the processor; null where the system does not tell. */
  readonly pids: { readonly server: number; readonly postgres: number | null }
  readonly readers: readonly Reader[]
  /** May be called twice. */
  stop(): Promise<void>
}

/** The server as an operator starts it, on the loaded folder. */
export async function startDeployment(
  folder: string,
  sizes: Sizes,
  environment: Readonly<Record<string, string>> = {},
): Promise<Deployment> {
  const server = await startServer({
    DATA_DIR: folder,
    ...environment,
    ...(process.env.BENCH_NODE_OPTIONS ? { NODE_OPTIONS: process.env.BENCH_NODE_OPTIONS } : {}),
  })
  const ending: (() => Promise<unknown>)[] = []
  const stop = async (): Promise<void> => {
    for (const end of ending.splice(0)) await end()
    await server.end('SIGTERM')
  }
  try {
    const databaseUrl = await connectionOf(folder)
    if (databaseUrl === null) throw new Error('the embedded Postgres does not run')
    const pool = openPool(databaseUrl, 2, () => {})
    ending.push(() => closePool(pool))
    const db = database(pool)
    const [backend] = await db.run<{ pid: number }>(sql`select pg_backend_pid() as pid`)
    const pids = { server: server.child.pid!, postgres: await parentOf(backend!.pid) }
    const readers = await readersOf(server.url, sizes)
    return { url: server.url, mediaDir: join(folder, 'media'), databaseUrl, db, server, pids, readers, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Signs the readers in: what they are shown by serves for 15 minutes. */
export async function readersOf(url: string, { accounts }: Sizes): Promise<Reader[]> {
  const readers: Reader[] = []
  for (const n of readerNumbers(accounts)) readers.push(await signedIn(url, loadedUsername(n)))
  return readers
}

/** Signs somebody loaded in. */
export async function signedIn(url: string, login: string): Promise<Reader> {
  type SignedIn = { account: { id: string }; session: { accessToken: string } }
  const { account, session } = await call<SignedIn>(url, 'POST', '/sessions', { body: { login, password: demoPassword } })
  return { id: account.id, headers: { Authorization: `Bearer ${session.accessToken}` } }
}

/** One request, outside of what is measured. @throws where it is refused */
export async function call<Body>(
  url: string,
  method: string,
  path: string,
  { body, headers = {} }: { body?: unknown; headers?: Readonly<Record<string, string>> } = {},
): Promise<Body> {
  const json = body === undefined ? {} : { body: JSON.stringify(body) }
  const response = await fetch(`${url}/v1${path}`, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
    ...json,
  })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return (await response.json()) as Body
}

/** Waits until every consumer has passed the log's end. Answers how long that took, in milliseconds. */
export async function settled(db: Database): Promise<number> {
  const began = performance.now()
  for (;;) {
    const [head] = await db.run<{ position: number }>(sql`select coalesce(max(position), 0) as position from log.events`)
    const positions = await positionsOf(db)
    const behind = allModels.filter(({ key }) => (positions.get(key) ?? 0) < head!.position)
    if (behind.length === 0) return performance.now() - began
    if (performance.now() - began > 120_000) throw new Error(`${behind.map(({ key }) => key).join(', ')} did not catch up`)
    await pause(10)
  }
}
