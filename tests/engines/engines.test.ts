import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { expect, inject, it, vi } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { freshDatabase } from '../support/database.ts'
import { dropDatabases, givenEngines, hostsOf, mustKeepApart, nameWithin, runName, standing, summary } from './engines.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** `npm run test:engines` in an environment of this alone. */
function command(environment: Record<string, string>, ...args: string[]) {
  const { PATH = '', HOME = '', TMPDIR } = process.env
  const child = spawn(process.execPath, ['start.mjs', 'tests/engines/main.ts', ...args], {
    cwd: root,
    env: { PATH, HOME, ...(TMPDIR === undefined ? {} : { TMPDIR }), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', bytes => (output += bytes))
  child.stderr.on('data', bytes => (output += bytes))
  const ended = once(child, 'close').then(([code]) => code as number | null)
  return { child, ended, output: () => output }
}

async function databases(like: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: inject('engines').postgresUrl })
  await client.connect()
  try {
    const { rows } = await client.query('select datname from pg_database where starts_with(datname, $1)', [like])
    return rows.map(({ datname }) => datname)
  } finally {
    await client.end()
  }
}

it('refuses to run on nothing, and names what is missing', { timeout: 30_000 }, async () => {
  const { ended, output } = command({ EVENTSTORE_URL: '' })
  expect(await ended).toBe(1)
  expect(output()).toMatch(/^EVENTSTORE_URL, DATABASE_URL and NATS_URL are all missing: [^\n]+\n$/)
})

it('refuses a server that is not there, and tells nobody its password', { timeout: 30_000 }, async () => {
  const { ended, output } = command({ DATABASE_URL: 'postgres://ada:secret-word@127.0.0.1:1/x' })
  expect(await ended).toBe(1)
  expect(output()).toMatch(/^PostgreSQL at 127\.0\.0\.1:1 cannot be used \(.+\): start it, or check DATABASE_URL\.$/m)
  expect(output()).not.toContain('secret-word')
})

it('takes any of the three, and says what each engine runs on', () => {
  const given = givenEngines({ NATS_URL: 'nats://ada:word@one:4222,nats://two', SECRET: 'short', ROLE: 'none' })
  expect(standing(given)).toEqual([
    'EventStoreDB  in the database (EVENTSTORE_URL is not set)',
    'PostgreSQL    embedded (DATABASE_URL is not set)',
    'NATS          one:4222, two',
  ])
  expect(hostsOf('esdb+discover://ada:wo@rd@a:2113,b:2113?tls=false')).toBe('a:2113,b:2113')
  expect(hostsOf('postgres://ada:word@db.example/photos?sslmode=require')).toBe('db.example')
  expect(() => givenEngines({ DATABASE_URL: 'mysql://one' })).toThrow(/^DATABASE_URL is not usable/)
})

it('names all that it makes by the run, twice never alike, fit for a database, a stream and a subject', () => {
  const run = runName()
  expect(runName()).not.toBe(run)
  const names = Array.from({ length: 100 }, () => nameWithin(run))
  expect(new Set(names).size).toBe(100)
  for (const name of names) {
    expect(name.startsWith(run)).toBe(true)
    expect(readConfig({ NAMESPACE: name })).toMatchObject({ namespace: `${name}_`, subjectPrefix: `${name}.` })
  }
})

it('lets no deployment write on a server that was given but in the names of the run', () => {
  const given = { TEST_RUN: 'darkroomtest1', EVENTSTORE_URL: 'esdb://one', NATS_URL: 'nats://one' }
  const names = readConfig({ NAMESPACE: 'darkroomtest12' })
  for (const on of [{ eventStoreUrl: 'esdb://one' }, { natsUrl: 'nats://one' }]) {
    expect(() => mustKeepApart({ ...readConfig({ NAMESPACE: 'fleet' }), ...on }, given)).toThrow(/named by environmentOf/)
    expect(() => mustKeepApart({ ...names, ...on }, given)).not.toThrow()
  }
  expect(() => mustKeepApart(readConfig({ EVENTSTORE_URL: 'esdb://another' }), given)).not.toThrow()
  expect(() => mustKeepApart(readConfig({ EVENTSTORE_URL: 'esdb://one' }), { EVENTSTORE_URL: 'esdb://one' })).not.toThrow()
})

it('drops what a run has left, and nothing else', async () => {
  const { postgresUrl, run } = inject('engines')
  const other = await freshDatabase()
  const name = nameWithin(runName())
  const client = new pg.Client({ connectionString: postgresUrl })
  await client.connect()
  await client.query(`create database ${name}`)
  await client.end()
  expect(await dropDatabases(postgresUrl, name.slice(0, -1))).toEqual([name])
  expect(await databases(name)).toEqual([])
  expect(await databases(run)).toContain(new URL(other.url).pathname.slice(1))
  await other.drop()
})

it('leaves no database behind when it is interrupted', { timeout: 60_000 }, async () => {
  const DATABASE_URL = inject('engines').postgresUrl
  const { child, ended, output } = command({ DATABASE_URL }, 'tests/kernel/runner.test.ts')
  const run = await vi.waitFor(() => /^Run (\w+) of the tests:/.exec(output())![1]!, { timeout: 30_000 })
  await vi.waitFor(async () => expect(await databases(run)).not.toEqual([]), { timeout: 30_000 })
  child.kill('SIGINT')
  expect(await ended, output()).toBe(130)
  expect(output()).toMatch(new RegExp(`^  Dropped what was left: .*${run}`, 'm'))
  expect(await databases(run)).toEqual([])
})

it('names the files with servers of their own, and why', () => {
  const said = [
    { file: 'tests/a.test.ts', on: 'NATS_URL' },
    { file: 'tests/a.test.ts', on: 'NATS_URL' },
    { file: 'tests/b.test.ts', on: 'DATABASE_URL' },
    { file: 'tests/b.test.ts', apart: 'it kills its server' },
  ] as const
  expect(summary({ NATS_URL: 'nats://one', EVENTSTORE_URL: 'esdb://one' }, said)).toEqual([
    'EventStoreDB  0 test files',
    'NATS          1 test files',
    'With servers of their own:',
    '  tests/b.test.ts: it kills its server',
  ])
})

it('every test file that starts a server of its own, or is about an embedded one, says so', () => {
  const own = /\b(startNats|startEmbeddedPostgres|stopEmbeddedPostgres|WireServer|EmbeddedEventStore)\b/
  const silent = readdirSync(join(root, 'tests'), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.test.ts') && join(root, 'tests', name) !== fileURLToPath(import.meta.url))
    .filter(name => {
      const text = readFileSync(join(root, 'tests', name), 'utf8')
      return own.test(text) && !text.includes('standsApart(')
    })
  expect(silent).toEqual([])
})
