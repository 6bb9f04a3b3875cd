import { appendFileSync } from 'node:fs'
import type pg from 'pg'
import { expect, inject } from 'vitest'
import { InProcessBus } from '../../src/adapters/bus/in-process.ts'
import { NatsBus } from '../../src/adapters/bus/nats.ts'
import { EmbeddedEventStore } from '../../src/adapters/eventstore/embedded.ts'
import { openEventStoreDb } from '../../src/adapters/eventstore/eventstoredb.ts'
import { readConfig } from '../../src/config.ts'
import type { Bus } from '../../src/kernel/ports/bus.ts'
import type { EventStore } from '../../src/kernel/ports/event-store.ts'
import type { Log } from '../../src/kernel/ports/log.ts'
import { type Given, nameWithin, type Said, variables } from '../engines/engines.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    engines: {
      /** Begins the name of whatever this run makes on a server. */
      readonly run: string
      /** The servers of `npm run test:engines`; none in `npm test`. */
      readonly given: Given
      /** A PostgreSQL on which tests may create databases: the one given, or an embedded one. */
      readonly postgresUrl: string
      /** Where test files say what they stand on; null where nobody asks. */
      readonly said: string | null
    }
  }
}

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} }
const { run, given, said } = inject('engines')

const say = (what: { on: keyof Given } | { apart: string }): void => {
  const { testPath = '' } = expect.getState()
  const file = testPath.replaceAll('\\', '/').replace(/^.*\/tests\//, 'tests/')
  if (said !== null) appendFileSync(said, `${JSON.stringify({ file, ...what } satisfies Said)}\n`)
}

/** A name of a deployment that nobody else has: of a database, a namespace, a subject. */
export const ownName = (): string => nameWithin(run)

/** Says in that summary that the file's tests stand on an engine, if it is given. */
export function standsOn(engine: keyof Given): void {
  if (given[engine] !== undefined) say({ on: engine })
}

/** For a test file that starts servers of its own, or is about the embedded ones: says why in the summary of `npm run test:engines`. */
export const standsApart = (why: string): void => say({ apart: why })

/**
 * The variables for whoever serves, or looks at, the deployment whose database this is: on the engines of this run, in the namespace that is called
 * like the database. Without engines given there is the database alone.
 */
export function environmentOf(databaseUrl: string): Record<string, string> {
  for (const name of variables) standsOn(name)
  const { EVENTSTORE_URL, NATS_URL } = given
  return {
    DATABASE_URL: databaseUrl,
    ...(EVENTSTORE_URL === undefined ? {} : { EVENTSTORE_URL }),
    ...(NATS_URL === undefined ? {} : { NATS_URL }),
    ...(EVENTSTORE_URL === undefined && NATS_URL === undefined ? {} : { NAMESPACE: new URL(databaseUrl).pathname.slice(1) }),
  }
}

type Environment = Readonly<Record<string, string>>

/** The log of a deployment, by its environment. @param pool of its database */
export function openStore(environment: Environment, pool: pg.Pool): Promise<EventStore> {
  const { eventStoreUrl, namespace } = readConfig(environment)
  return eventStoreUrl === null
    ? Promise.resolve(new EmbeddedEventStore(pool, namespace))
    : openEventStoreDb({ url: eventStoreUrl, namespace, log: quiet })
}

/** The bus of a deployment, by its environment; what a handler throws fails the test. */
export function openBus(environment: Environment): Promise<Bus> {
  const { natsUrl, subjectPrefix } = readConfig(environment)
  const onError = (error: unknown): never => {
    throw error
  }
  return natsUrl === null
    ? Promise.resolve(new InProcessBus(onError))
    : NatsBus.connect({ url: natsUrl, prefix: subjectPrefix, log: quiet, onError })
}
