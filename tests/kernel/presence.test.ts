import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import { migrate } from '../../src/kernel/migrate.ts'
import type { Log } from '../../src/kernel/ports/log.ts'
import { registerConsumers } from '../../src/kernel/projecting/leases.ts'
import { readModel } from '../../src/kernel/projecting/model.ts'
import { Presence } from '../../src/kernel/projecting/presence.ts'
import { sql } from '../../src/kernel/sql.ts'
import { testKernel } from '../support/kernel.ts'

const version = (number: number) =>
  readModel()({
    name: 'thing',
    version: number,
    events: [],
    tables: { rows: { columns: 'id int primary key' } },
    async project() {},
  })

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} }

it('drops an older version of a read model when the last process that reads it is gone, and never one that is read or the only one', async () => {
  const { db, close } = await testKernel([version(1)])
  const schemas = async () =>
    (await db.run<{ name: string }>(sql`select nspname as name from pg_namespace where nspname like 'thing_v%' order by 1`)).map(
      ({ name }) => name,
    )
  const process = async (number: number): Promise<Presence> => {
    await migrate(db, [], [version(number)])
    await registerConsumers(db, [{ key: version(number).key, from: 'beginning' }], 0)
    const presence = new Presence(db, randomUUID(), [version(number)], quiet)
    await presence.start()
    return presence
  }
  const [old, older] = [await process(1), await process(1)]
  const next = await process(2)
  expect(await schemas()).toEqual(['thing_v1', 'thing_v2'])
  await older.stop()
  expect(await schemas()).toEqual(['thing_v1', 'thing_v2'])
  await old.stop()
  expect(await schemas()).toEqual(['thing_v2'])
  await next.stop()
  expect(await schemas()).toEqual(['thing_v2'])
  await close()
})
