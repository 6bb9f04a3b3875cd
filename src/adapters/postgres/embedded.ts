import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:fs'
import { access, mkdir, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { StartupError } from '../../kernel/startup-error.ts'
import { as, runAs } from './embedded/accounts.ts'
import { findBinaries, program } from './embedded/binaries.ts'
import { type Cluster, clusterFolder, openCluster, readAccess, USER, writeAccess } from './embedded/cluster.ts'
import { isPostgres, runningPostmaster, untilGone, untilReady } from './embedded/postmaster.ts'

const HOST = '127.0.0.1'
const DATABASE = 'darkroom'
/** Bytes; a longer log is put aside as postgres.log.1 at the next start. */
const LOG_LIMIT = 16 * 1024 * 1024
const FAST_STOP = 30_000
const IMMEDIATE_STOP = 10_000
const ATTEMPTS = 50

const MIB = 2 ** 20
const machineMemory = Math.min(process.constrainedMemory() || Number.POSITIVE_INFINITY, totalmem())

/**
 * A 32nd of the machine's memory, 128 MiB at least and 1 GiB at most: what a page's random look-ups touch stays there (a grid of a network of
 * 200,000 posts is a fifth faster with 1 GiB), and the system's own cache has the rest.
 */
const sharedBuffers = Math.min(1_024, Math.max(128, Math.floor(machineMemory / MIB / 32)))

/**
 * Small and fully durable (fsync and synchronous_commit stay on). The log has what concerns the server, not failed statements,
 * which the application reports itself, and no values of rows (terse).
 */
const SETTINGS = {
  listen_addresses: HOST,
  unix_socket_directories: '',
  max_connections: '200',
  shared_buffers: `${sharedBuffers}MB`,
  fsync: 'on',
  synchronous_commit: 'on',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_logical_replication_workers: '0',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  lc_messages: 'C',
  log_min_messages: 'log',
  log_error_verbosity: 'terse',
  log_checkpoints: 'off',
}

type Server = { pid: number; port: number }

/** A running PostgreSQL of ours. */
export type EmbeddedPostgres = {
  /** `postgres://…` of the database `darkroom`. */
  url: string
  /** Whether it ran already: left behind by a process that was killed. */
  adopted: boolean
  /** Ends the server after its running transactions are rolled back. May be called twice. */
  stop(): Promise<void>
}

/**
 * Starts the PostgreSQL of a data folder, making its cluster first when there is none. The server is a process group of its own and
 * outlives signals to ours, until `stop()`; one left behind by a killed process is adopted. The caller holds `lockDataDir`.
 *
 * @param settings more server settings, which win over ours (tests switch fsync off)
 * @throws StartupError saying what to do
 */
export async function startEmbeddedPostgres(options: {
  dataDir: string
  log: (message: string) => void
  settings?: Record<string, string>
}): Promise<EmbeddedPostgres> {
  const { log } = options
  const dataDir = await makeDataDir(options.dataDir)
  const settings = { ...SETTINGS, ...options.settings }
  const cluster = await openCluster(dataDir, await findBinaries(), settings.fsync === 'on')
  const memory = await readAccess(cluster.folder)
  const adopted = await leftBehind(cluster.folder, log)
  const server = adopted ?? (await launch(cluster, memory.port, join(dataDir, 'postgres.log'), settings, log))
  if (server.port !== memory.port) await writeAccess(cluster.folder, { ...memory, port: server.port })
  try {
    await createDatabase(memory.password, server.port)
  } catch (error) {
    if (!adopted) await stopServer(server.pid, cluster.folder)
    throw error
  }
  const url = urlOf(memory.password, server.port, DATABASE)
  return { url, adopted: adopted !== null, stop: () => stopServer(server.pid, cluster.folder) }
}

/** The URL of the PostgreSQL that runs now for a data folder, or null when none takes connections. Starts and changes nothing. */
export async function connectionOf(dataDir: string): Promise<string | null> {
  const folder = await clusterFolder(dataDir)
  if (!folder) return null
  const server = await runningPostmaster(folder)
  return server?.ready ? urlOf((await readAccess(folder)).password, server.port, DATABASE) : null
}

/** Ends a PostgreSQL that a killed process left behind; nothing happens when there is none. */
export async function stopEmbeddedPostgres(dataDir: string): Promise<void> {
  const folder = await clusterFolder(dataDir)
  const server = folder && (await runningPostmaster(folder))
  if (folder && server) await stopServer(server.pid, folder)
}

async function makeDataDir(path: string) {
  try {
    await mkdir(path, { recursive: true })
    await access(path, constants.W_OK)
    return await realpath(path)
  } catch (cause) {
    throw new StartupError(`The data folder ${path} cannot be written: set DATA_DIR to one that this user may write`, { cause })
  }
}

/** The server that already runs on the cluster, once it is ready; null when none does. */
async function leftBehind(folder: string, log: (message: string) => void): Promise<Server | null> {
  const running = await runningPostmaster(folder)
  if (running && (await untilReady(folder, running.pid, () => log('Still waiting for the PostgreSQL that was left running')))) {
    log(`Taking over the PostgreSQL that was left running (process ${running.pid})`)
    return runningPostmaster(folder)
  }
  // Whoever has that number now, it is not our server, but PostgreSQL itself would stop at it.
  await rm(join(folder, 'postmaster.pid'), { force: true })
  return null
}

/** Starts the server on the port it had, or on another one when that is taken. */
async function launch(
  cluster: Cluster,
  lastPort: number,
  logFile: string,
  settings: Record<string, string>,
  log: (message: string) => void,
) {
  let port = lastPort || (await freePort())
  for (let attempt = 1; ; attempt++) {
    const { pid, logged } = await spawnServer(cluster, port, logFile, settings)
    if (await untilReady(cluster.folder, pid, () => log(`PostgreSQL is still starting, see ${logFile}`))) return { pid, port }
    const output = await logged()
    if (attempt === ATTEMPTS) throw new StartupError(`PostgreSQL does not start: ${lastError(output)} (all of it in ${logFile})`)
    if (output.includes('could not create any TCP/IP sockets')) {
      log(`Port ${port} is taken, PostgreSQL tries another`)
      port = await freePort()
    } else if (output.includes('is still in use')) {
      await sleep(100) // the last processes of a server that was killed are still ending
    } else {
      throw new StartupError(`PostgreSQL does not start: ${lastError(output)} (all of it in ${logFile})`)
    }
  }
}

async function spawnServer(cluster: Cluster, port: number, logFile: string, settings: Record<string, string>) {
  const size = await stat(logFile).then(
    file => file.size,
    () => 0,
  )
  if (size > LOG_LIMIT) await rename(logFile, `${logFile}.1`)
  const output = await open(logFile, 'a', 0o600)
  try {
    const begin = (await output.stat()).size
    const set = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const { file, args, options } = as(cluster.account, program(cluster.native, 'postgres'), [
      '-D',
      cluster.folder,
      '-p',
      `${port}`,
      ...set,
    ])
    const child = spawn(file, args, { ...options, detached: true, stdio: ['ignore', output.fd, output.fd] })
    await once(child, 'spawn')
    child.unref()
    return { pid: child.pid!, logged: async () => (await readFile(logFile)).subarray(begin).toString() }
  } finally {
    await output.close()
  }
}

async function createDatabase(password: string, port: number) {
  const client = new pg.Client({ connectionString: urlOf(password, port, 'postgres') })
  await client.connect()
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE])
    if (rowCount === 0) await client.query(`create database ${DATABASE}`)
  } finally {
    await client.end()
  }
}

/**
 * A fast shutdown; one that cannot finish it is cut short, which costs the next start a recovery and loses nothing. Where the server died, its number may be
 * somebody else's by now: nobody else is ended.
 */
async function stopServer(pid: number, cluster: string) {
  for (const [signal, timeout] of [
    ['INT', FAST_STOP],
    ['QUIT', IMMEDIATE_STOP],
  ] as const) {
    if (!(await isPostgres(pid, cluster))) return
    await signalServer(pid, signal)
    if (await untilGone(pid, cluster, timeout)) return
  }
  throw new Error(`PostgreSQL (process ${pid}) does not stop`)
}

async function signalServer(pid: number, signal: 'INT' | 'QUIT') {
  if (process.platform === 'win32') {
    const { native } = await findBinaries() // Windows has no signals, PostgreSQL has its own
    return runAs({ wrapper: [], ids: {} }, program(native, 'pg_ctl'), ['kill', signal, `${pid}`])
  }
  try {
    process.kill(pid, `SIG${signal}`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, HOST)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await once(server.close(), 'close')
  return port
}

const urlOf = (password: string, port: number, database: string) => `postgres://${USER}:${password}@${HOST}:${port}/${database}`

const lastError = (output: string) =>
  output
    .split('\n')
    .findLast(line => /FATAL|PANIC|error/i.test(line))
    ?.trim() ??
  output.trim().split('\n').at(-1) ??
  ''
