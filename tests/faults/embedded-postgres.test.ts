import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, constants, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { connectionOf, startEmbeddedPostgres, stopEmbeddedPostgres } from '../../src/adapters/postgres/embedded.ts'
import { lockDataDir } from '../../src/kernel/lock-data-dir.ts'
import { StartupError } from '../../src/kernel/startup-error.ts'
import { standsApart } from '../support/engines.ts'
import { temporaryFolder } from '../support/temporary.ts'

standsApart('it is about the embedded PostgreSQL')

const settings = { fsync: 'off' }
const source = (path: string) => new URL(`../../src/${path}`, import.meta.url).href
let dataDir: string
let children: ChildProcess[]

beforeEach(async () => {
  dataDir = await temporaryFolder()
  children = []
})

afterEach(async () => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) await end(child, 'SIGKILL')
  await stopEmbeddedPostgres(dataDir)
  await rm(dataDir, { recursive: true })
})

const start = (messages: string[] = []) => startEmbeddedPostgres({ dataDir, log: message => messages.push(message), settings })

async function query(url: string, text: string) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

/** A Node process, leader of its own group, that runs the script, prints a line and then stays. */
async function holder(script: string) {
  const stay = 'setInterval(() => {}, 1000)'
  const child = spawn(process.execPath, ['--input-type=module', '-e', `${script}\n${stay}`, dataDir], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  return { child, line }
}

const startingPostgres = () =>
  holder(`
    import { startEmbeddedPostgres } from '${source('adapters/postgres/embedded.ts')}'
    const { url } = await startEmbeddedPostgres({ dataDir: process.argv[1], log() {}, settings: ${JSON.stringify(settings)} })
    console.log(url)`)

/** Signals the whole process group, as a terminal does. */
async function end(child: ChildProcess, signal: NodeJS.Signals) {
  const exited = once(child, 'exit')
  process.kill(-child.pid!, signal)
  await exited
}

const postmasterPid = async () => Number((await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0])

test('the first start makes a cluster that knows letters beyond ASCII, a restart keeps its data', async () => {
  const first = await start()
  expect(first.adopted).toBe(false)
  expect(await connectionOf(dataDir)).toBe(first.url)
  expect(await query(first.url, `select lower('ÄÖÜ'), 'é' ~ '\\w' as word, current_setting('timezone') as timezone`)).toEqual([
    { lower: 'äöü', word: true, timezone: 'UTC' },
  ])
  await query(first.url, 'create table kept as select 1 as value')
  await first.stop()
  await first.stop()
  expect(await connectionOf(dataDir)).toBeNull()

  const second = await start()
  expect(second).toMatchObject({ adopted: false, url: first.url })
  expect(await query(second.url, 'select value from kept')).toEqual([{ value: 1 }])
})

test('without settings of the caller everything is durable', async () => {
  const { url } = await startEmbeddedPostgres({ dataDir, log() {} })
  const names = ['fsync', 'synchronous_commit', 'full_page_writes', 'listen_addresses', 'unix_socket_directories']
  const rows = await query(url, `select name, setting from pg_settings where name in ('${names.join(`','`)}')`)
  expect(Object.fromEntries(rows.map(row => [row.name, row.setting]))).toEqual({
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
  })
})

test('a wrong password is refused', async () => {
  const url = new URL((await start()).url)
  url.password = 'wrong'
  await expect(query(url.href, 'select 1')).rejects.toThrow('password authentication failed')
})

test('PostgreSQL outlives a kill -9 of the process that started it and is adopted', async () => {
  const { child, line: url } = await startingPostgres()
  await query(url, 'create table kept as select 1 as value')
  await end(child, 'SIGKILL')
  const messages: string[] = []
  const next = await start(messages)
  expect(next).toMatchObject({ adopted: true, url })
  expect(messages).toEqual([expect.stringContaining('Taking over')])
  expect(await query(next.url, 'select value from kept')).toEqual([{ value: 1 }])
  await next.stop()
  expect(await connectionOf(dataDir)).toBeNull()
})

test('PostgreSQL outlives Ctrl-C, until it is stopped', async () => {
  const { child, line: url } = await startingPostgres()
  await end(child, 'SIGINT')
  expect(await query(url, 'select 1 as value')).toEqual([{ value: 1 }])
  await stopEmbeddedPostgres(dataDir)
  expect(await connectionOf(dataDir)).toBeNull()
})

test('a start after a kill -9 of PostgreSQL itself recovers what was committed', async () => {
  const { url } = await start()
  await query(url, 'create table kept as select 1 as value')
  process.kill(await postmasterPid(), 'SIGKILL')
  const next = await start()
  expect(next.adopted).toBe(false)
  expect(await query(next.url, 'select value from kept')).toEqual([{ value: 1 }])
})

const isThere = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const lastPid = '/proc/sys/kernel/ns_last_pid'
const choosesPids = await access(lastPid, constants.W_OK).then(
  () => true,
  () => false,
)

test.runIf(choosesPids)('stop() leaves alone who got the number of a server that died', async () => {
  const postgres = await start()
  const pid = await postmasterPid()
  process.kill(pid, 'SIGKILL')
  // A number is free once nobody's group goes by it.
  await expect.poll(() => isThere(-pid)).toBe(false)
  let other: ChildProcess | undefined
  const others: ChildProcess[] = []
  // Whoever else starts a process meanwhile may get it first.
  for (let tries = 0; tries < 200 && other === undefined; tries++) {
    await writeFile(lastPid, String(pid - 1))
    const child = spawn('sleep', ['60'])
    others.push(child)
    if (child.pid === pid) other = child
  }
  try {
    expect(other?.pid).toBe(pid)
    await postgres.stop()
    expect([other?.exitCode, other?.signalCode]).toEqual([null, null])
  } finally {
    for (const child of others) child.kill('SIGKILL')
  }
})

test('stop() also ends a server with a busy client', async () => {
  const postgres = await start()
  const client = new pg.Client({ connectionString: postgres.url })
  client.on('error', () => {}) // the end of the connection
  await client.connect()
  const busy = expect(client.query('select pg_sleep(600)')).rejects.toThrow()
  await postgres.stop()
  await busy
})

test.runIf(process.platform === 'linux')('a pid file that names another living process does not stop a start', async () => {
  const first = await start()
  const pidFile = join(dataDir, 'postgres', 'postmaster.pid')
  const content = await readFile(pidFile, 'utf8')
  await first.stop()
  await writeFile(pidFile, content.replace(/^\d+/, `${process.pid}`))
  expect(await connectionOf(dataDir)).toBeNull()
  expect((await start()).adopted).toBe(false)
})

test('a first start that was killed half way leaves nothing that disturbs the next', async () => {
  await mkdir(join(dataDir, 'postgres.new', 'cluster', 'base'), { recursive: true })
  await start()
  await expect(readFile(join(dataDir, 'postgres.new'))).rejects.toThrow('ENOENT')
})

test('when its port is taken the server takes another, and keeps that', async () => {
  const first = await start()
  await first.stop()
  const taken = createServer().listen(Number(new URL(first.url).port), '127.0.0.1')
  await once(taken, 'listening')
  const second = await start()
  expect(new URL(second.url).port).not.toBe(new URL(first.url).port)
  await second.stop()
  await once(taken.close(), 'close')
  expect((await start()).url).toBe(second.url)
})

test('a folder of another PostgreSQL version, and one without its password, are refused in one line', async () => {
  await (await start()).stop()
  const access = join(dataDir, 'postgres', 'darkroom.json')
  const content = await readFile(access, 'utf8')
  await rm(access)
  await expect(start()).rejects.toThrow(/^.*darkroom\.json.* is missing or damaged: restore it.*$/)
  await writeFile(access, content)
  await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '17\n')
  const refused = start()
  await expect(refused).rejects.toThrow(StartupError)
  await expect(refused).rejects.toThrow(
    /^.* was made by PostgreSQL 17 and this release brings 18: set DATA_DIR to another folder.*$/,
  )
})

test('a data folder that cannot be made is refused in one line', async () => {
  await writeFile(join(dataDir, 'file'), '')
  const refused = startEmbeddedPostgres({ dataDir: join(dataDir, 'file', 'data'), log() {} })
  await expect(refused).rejects.toThrow(/^The data folder .* cannot be written: set DATA_DIR.*$/)
})

test('a data folder has one server at a time, and a killed one gives it back', async () => {
  const { child } = await holder(`
    import { lockDataDir } from '${source('kernel/lock-data-dir.ts')}'
    await lockDataDir(process.argv[1])
    console.log('locked')`)
  const refused = lockDataDir(dataDir)
  await expect(refused).rejects.toThrow(StartupError)
  await expect(refused).rejects.toThrow(`Process ${child.pid} already uses the data folder ${dataDir}: stop it, or set DATA_DIR`)
  await end(child, 'SIGKILL')

  const release = await lockDataDir(dataDir)
  await expect(lockDataDir(dataDir)).rejects.toThrow(`Process ${process.pid} already uses`)
  await release()
  await release()
  await (await lockDataDir(dataDir))()
})
