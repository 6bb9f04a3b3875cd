import { randomBytes, randomUUID } from 'node:crypto'
import { logSchema } from '../../src/adapters/eventstore/embedded.ts'
import { database, openPool } from '../../src/adapters/postgres/database.ts'
import { keysSchema, PostgresKeyStore } from '../../src/adapters/postgres/keys.ts'
import { allEvents } from '../../src/domain/events.ts'
import { Codec } from '../../src/kernel/codec.ts'
import type { EventType } from '../../src/kernel/events.ts'
import { migrate } from '../../src/kernel/migrate.ts'
import type { Bus } from '../../src/kernel/ports/bus.ts'
import type { EventStore } from '../../src/kernel/ports/event-store.ts'
import type { ReadModel } from '../../src/kernel/projecting/model.ts'
import { kernelMigrations } from '../../src/kernel/projecting/schema.ts'
import type { Database } from '../../src/kernel/sql.ts'
import { freshDatabase } from './database.ts'
import { environmentOf, openBus, openStore } from './engines.ts'

export type TestKernel = {
  readonly url: string
  readonly db: Database
  readonly store: EventStore
  readonly bus: Bus
  readonly keys: PostgresKeyStore
  readonly codec: Codec
  /** A new id with a key of its own. */
  subject(): Promise<string>
  close(): Promise<void>
}

/** Log, bus, keys and read models on the engines of this run, in a database and a namespace of their own. */
export async function testKernel(
  models: readonly ReadModel[] = [],
  events: readonly EventType[] = allEvents,
): Promise<TestKernel> {
  const fresh = await freshDatabase()
  const pool = openPool(fresh.url, 12, () => {})
  const db = database(pool)
  await migrate(db, [...kernelMigrations, { name: 'keys', ddl: keysSchema }, { name: 'log', ddl: logSchema }], models)
  const master = randomBytes(32)
  const keys = new PostgresKeyStore(db, () => master)
  const environment = environmentOf(fresh.url)
  const store = await openStore(environment, pool)
  const bus = await openBus(environment)
  return {
    url: fresh.url,
    db,
    store,
    bus,
    keys,
    codec: new Codec(events, keys),
    async subject() {
      const id = randomUUID()
      await keys.create(id)
      return id
    },
    async close() {
      await bus.close()
      await store.close()
      await pool.end()
      await fresh.drop()
    },
  }
}
