import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { landscape } from '../../src/adapters/media/landscape.ts'
import { demo } from '../../src/cli/demo.ts'
import type { Commands } from '../../src/commands/context.ts'
import { measureFanOut } from '../../src/commands/feed.ts'
import type { AccountId } from '../../src/kernel/ids.ts'
import { Problem } from '../../src/kernel/problem.ts'
import { rebuild } from '../../src/kernel/projecting/rebuild.ts'
import { verify } from '../../src/kernel/projecting/verify.ts'
import { sql } from '../../src/kernel/sql.ts'
import { readModels } from '../../src/projections/models.ts'
import { type TestApp, testApp } from '../support/app.ts'
import { allSettled } from '../support/settled.ts'

let app: TestApp

const ok = async (answer: Promise<{ status: number; body: unknown }>): Promise<void> => {
  const { status, body } = await answer
  expect(status, JSON.stringify(body)).toBeLessThan(300)
}

/** As beside a busy server: read models come later than a request would wait. */
function behindAtFirst(commands: Commands): Commands {
  let waits = 0
  return {
    ...commands,
    async settled(position, models) {
      if (waits++ % 3 < 2) throw new Problem('read_model_behind', 'Not yet as new as asked. Try again.')
      await commands.settled(position, models)
    },
  }
}

/** A network in which every table has rows. */
beforeAll(async () => {
  app = await testApp()
  await demo(behindAtFirst(app.app.commands), { accounts: 12, posts: 12 }, 'drift', landscape)
  const [ada, bob, eve, gone] = [
    await app.signUp('ada'),
    await app.signUp('bob'),
    await app.signUp('eve'),
    await app.signUp('gone'),
  ]
  await bob.follow(ada)
  await ok(ada.put(`/accounts/${bob.id}/close-friend`))
  await ok(ada.put('/me/account-type', { type: 'private' }))
  await eve.follow(ada)
  await ok(eve.put(`/accounts/${bob.id}/block`))
  const { id } = await ada.publish({ caption: 'for @bob #drift', audience: { accountIds: [bob.id] } })
  const comment = await ada.post(`/posts/${id}/comments`, { text: 'well' })
  await ok(bob.post(`/posts/${id}/comments`, { text: 'indeed', parentId: comment.body.id }, { after: ada.token }))
  await ada.upload()
  await ok(ada.put('/notifications/seen'))
  const actor = { id: null, sessionId: null, correlationId: 'test' }
  await measureFanOut(app.app.commands, bob.id as AccountId, { stopAt: 0, resumeAt: 0 }, actor)
  await ok(gone.post('/me/erasure'))
  await allSettled(app)
}, 120_000)
afterAll(() => app.stop())

type Column = { name: string; type: string; key: boolean }

async function columnsOf(key: string, table: string): Promise<Column[]> {
  return app.app.db.run<Column>(sql`
    select a.attname as name, format_type(a.atttypid, null) as type, coalesce(a.attnum = any(i.indkey), false) as key
    from pg_attribute a left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
    where a.attrelid = ${`${key}.${table}`}::regclass and a.attnum > 0 and a.attgenerated = '' order by a.attnum`)
}

/** Another value of a column. */
function other({ name, type }: Column): string | null {
  if (/^(bigint|integer|smallint|real|double precision|numeric)$/.test(type)) return `coalesce(${name}, 0) + 1000003`
  if (type === 'timestamp with time zone') return `coalesce(${name}, now()) + interval '1 s'`
  if (type === 'date') return `coalesce(${name}, current_date) + 1`
  if (type === 'uuid') return 'gen_random_uuid()'
  if (type === 'boolean') return `not coalesce(${name}, false)`
  if (type === 'text') return `coalesce(${name}, '') || 'x'`
  if (type === 'json' || type === 'jsonb') return `'"drifted"'::${type}`
  if (type === 'uuid[]') return `coalesce(${name}, '{}') || gen_random_uuid()`
  if (type === 'text[]') return `coalesce(${name}, '{}') || 'x'::text`
  return null
}

/** The first statement that the table's constraints let pass; whether there was one. */
async function one(statements: readonly string[]): Promise<boolean> {
  for (const statement of statements) {
    const passed = await app.app.db
      .run<{ n: number }>(sql.raw(`with done as (${statement} returning 1) select count(*) as n from done`))
      .then(
        ([row]) => row?.n === 1,
        (error: { code?: string }) => {
          // A check or a type that will not have it.
          if (!/^23|^22/.test(error.code ?? '')) throw error
          return false
        },
      )
    if (passed) return true
  }
  return false
}

const drifts: Readonly<Record<string, (table: string, columns: readonly Column[]) => readonly string[]>> = {
  deleted: table => [`delete from ${table} where ctid = (select ctid from ${table} limit 1)`],
  changed: (table, columns) =>
    columns.flatMap(column => {
      const value = other(column)
      return value === null || column.key
        ? []
        : [`update ${table} set ${column.name} = ${value} where ctid = (select ctid from ${table} limit 1)`]
    }),
  added: (table, columns) => {
    const names = columns.map(({ name }) => name).join(', ')
    const copy = (changed: (column: Column) => boolean): string =>
      `insert into ${table} (${names}) select ${columns.map(each => (changed(each) && other(each)) || each.name).join(', ')} from ${table} limit 1`
    // Another key; where further columns are unique, other numbers and ids too.
    return [
      ...columns.filter(({ key }) => key).map(column => copy(each => each === column)),
      copy(({ key, type }) => key || type === 'bigint' || type === 'uuid'),
    ]
  },
}
/** One post in 64 is a mark. */
const without = ['feed.floors', 'feed.marks']
/** One row is all that these have, and a second is refused by the table itself. */
const single = (columns: readonly Column[]): boolean => columns.some(({ name, key }) => key && name === 'single')

describe.each(readModels.map(model => [model.name, model] as const))('%s', (_, model) => {
  it.each(Object.entries(drifts))(
    'a row %s in each of its tables is found, and a rebuild mends it',
    { timeout: 60_000 },
    async (kind, made) => {
      expect(await verify(app.app, model)).toMatchObject({ differences: [], more: 0 })
      const drifted: string[] = []
      for (const [table, { passing }] of Object.entries(model.tables)) {
        if (passing || without.includes(`${model.name}.${table}`)) continue
        const columns = await columnsOf(model.key, table)
        if (kind === 'added' && single(columns)) continue
        if (kind === 'changed' && columns.every(({ key }) => key)) continue
        expect(await one(made(`${model.key}.${table}`, columns)), `${table}: no row could be ${kind}`).toBe(true)
        drifted.push(table)
      }
      const { differences, more } = await verify(app.app, model)
      const perTable = kind === 'changed' ? 2 : 1
      expect(differences.length + more).toBe(perTable * drifted.length)
      if (more === 0) expect([...new Set(differences.map(({ table }) => table))].sort()).toEqual(drifted.sort())
      await rebuild(app.app, model)
      expect(await verify(app.app, model)).toMatchObject({ differences: [], more: 0 })
    },
  )
})
