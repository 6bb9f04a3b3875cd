import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { NatsBus } from '../../src/adapters/bus/nats.ts'
import { openEventStoreDb } from '../../src/adapters/eventstore/eventstoredb.ts'
import { type Config, readConfig } from '../../src/config.ts'
import type { Log } from '../../src/kernel/ports/log.ts'
import { StartupError } from '../../src/kernel/startup-error.ts'

/** The parts of a deployment that tests can run on, and the variables that name them. */
export const engines = { EVENTSTORE_URL: 'EventStoreDB', DATABASE_URL: 'PostgreSQL', NATS_URL: 'NATS' } as const
export type Variable = keyof typeof engines
export const variables = Object.keys(engines) as readonly Variable[]
export type Given = Readonly<Partial<Record<Variable, string>>>

const embedded: Readonly<Record<Variable, string>> = {
  EVENTSTORE_URL: 'in the database',
  DATABASE_URL: 'embedded',
  NATS_URL: 'within each process',
}
const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** The name of a run: whatever it makes on a server begins with it, and nothing else does. */
export const runName = (): string => `darkroomtest${randomBytes(4).toString('hex')}`

/** A name of one deployment within a run: its database is called so, its streams and subjects begin so. At most 32 of a-z and 0-9. */
export const nameWithin = (run: string): string => run + randomBytes(5).toString('hex')

/** What an environment names, also by NAME_FILE. @throws StartupError where it names nothing, or what is named cannot be meant */
export function givenEngines(environment: Readonly<Record<string, string | undefined>>): Given {
  const names = variables.flatMap(name => [name, `${name}_FILE`])
  const { eventStoreUrl, databaseUrl, natsUrl } = readConfig(
    Object.fromEntries(names.flatMap(name => (environment[name] === undefined ? [] : [[name, environment[name]]]))),
  )
  const urls = { EVENTSTORE_URL: eventStoreUrl, DATABASE_URL: databaseUrl, NATS_URL: natsUrl }
  const given: Given = Object.fromEntries(Object.entries(urls).filter(([, url]) => url !== null))
  if (Object.keys(given).length === 0)
    throw new StartupError(
      `${variables.slice(0, -1).join(', ')} and ${variables.at(-1)} are all missing: set those of the servers that the tests should run on, one at least.`,
    )
  return given
}

/**
 * What stands between a test and the data of others on the servers given.
 * @param of the run that `npm run test:engines` has begun, if it has
 * @throws where a server would write there outside the names of the run
 */
export function mustKeepApart(
  config: Pick<Config, 'eventStoreUrl' | 'natsUrl' | 'namespace' | 'subjectPrefix'>,
  { TEST_RUN: run, EVENTSTORE_URL, NATS_URL }: Readonly<Record<string, string | undefined>> = process.env,
): void {
  if (run === undefined) return
  const apart = [
    config.eventStoreUrl !== EVENTSTORE_URL || config.namespace.startsWith(run),
    config.natsUrl !== NATS_URL || config.subjectPrefix.startsWith(run),
  ]
  if (apart.includes(false)) throw new Error('on a server that was given, a deployment is named by environmentOf or ownName')
}

/** Where a URL leads, without what is secret in it. */
export const hostsOf = (url: string): string =>
  url
    .split(/,(?=\w+:\/\/)/)
    .map(one =>
      one
        .replace(/^[\w+]+:\/\//, '')
        .replace(/^.*@/, '')
        .replace(/[/?].*$/, ''),
    )
    .join(', ')

/** A line for each engine: what it runs on. */
export const standing = (given: Given): string[] =>
  variables.map(name => {
    const url = given[name]
    return `${engines[name].padEnd(12)}  ${url === undefined ? `${embedded[name]} (${name} is not set)` : hostsOf(url)}`
  })

/** Asks each of them whether it is there and lets the tests do what they do. @throws StartupError naming the variable */
export async function prove(given: Given): Promise<void> {
  if (given.DATABASE_URL !== undefined) await provePostgres(given.DATABASE_URL)
  if (given.EVENTSTORE_URL !== undefined) {
    const store = await openEventStoreDb({ url: given.EVENTSTORE_URL, namespace: '', log: quiet }).catch((error: unknown) =>
      refuse('EVENTSTORE_URL', given, (error as Error).message),
    )
    await store.close()
  }
  if (given.NATS_URL !== undefined) {
    const bus = await NatsBus.connect({ url: given.NATS_URL, log: quiet, onError: () => {} })
    await bus.close()
  }
}

function refuse(name: Variable, given: Given, why: string): never {
  throw new StartupError(`${engines[name]} at ${hostsOf(given[name]!)} cannot be used (${why}): start it, or check ${name}.`)
}

/** Connections that as many test files at once as usual may want. */
const connections = 200

async function provePostgres(url: string): Promise<void> {
  const given = { DATABASE_URL: url }
  const rows = await queried<{ version: number; allowed: boolean; encoding: string; connections: number }>(
    url,
    `select current_setting('server_version_num')::int as version, rolcreatedb or rolsuper as allowed,
       pg_encoding_to_char(encoding) as encoding, current_setting('max_connections')::int as connections
     from pg_roles, pg_database where rolname = current_user and datname = 'template0'`,
  ).catch((error: unknown) => refuse('DATABASE_URL', given, (error as Error).message))
  const found = rows[0]!
  if (found.version < 160_000) refuse('DATABASE_URL', given, 'it is older than PostgreSQL 16')
  if (!found.allowed) refuse('DATABASE_URL', given, 'its role may not create databases, and each test file makes one of its own')
  if (found.encoding !== 'UTF8') refuse('DATABASE_URL', given, `new databases are ${found.encoding}, not UTF8`)
  if (found.connections < connections)
    refuse('DATABASE_URL', given, `max_connections is ${found.connections}, and the tests want ${connections}`)
}

/** Drops the databases of a run that are left, whoever is still connected. Answers their names. */
export async function dropDatabases(url: string, run: string): Promise<string[]> {
  const left = await queried<{ datname: string }>(url, 'select datname from pg_database where starts_with(datname, $1)', [run])
  for (const { datname } of left) await queried(url, `drop database if exists ${pg.escapeIdentifier(datname)} with (force)`)
  return left.map(({ datname }) => datname)
}

async function queried<Row extends object>(url: string, text: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  // A connection that breaks between two answers says so at the next.
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.query<Row>(text, values)).rows
  } finally {
    await client.end()
  }
}

/** What a test file says of itself while it runs, a line of JSON each. */
export type Said = { readonly file: string } & ({ readonly on: Variable } | { readonly apart: string })

/** How many files stood on each engine given, and by name those that have servers of their own, and why. */
export function summary(given: Given, said: readonly Said[]): string[] {
  const counts = variables
    .filter(name => given[name] !== undefined)
    .map(name => {
      const files = new Set(said.flatMap(one => ('on' in one && one.on === name ? [one.file] : [])))
      return `${engines[name].padEnd(12)}  ${files.size} test files`
    })
  const apart = new Set(said.flatMap(one => ('apart' in one ? [`  ${one.file}: ${one.apart}`] : [])))
  return apart.size === 0 ? counts : [...counts, 'With servers of their own:', ...[...apart].sort()]
}
