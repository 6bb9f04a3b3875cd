import pg from 'pg'
import { expect, it, vi } from 'vitest'
import { readModels } from '../../src/projections/models.ts'
import { relationshipsModel } from '../../src/projections/relationships/project.ts'
import { testApp } from '../support/app.ts'
import { allSettled } from '../support/settled.ts'

it('a release with a new version of a read model serves nothing before that is filled', { timeout: 60_000 }, async () => {
  const before = await testApp()
  const ada = await before.signUp('ada')
  const bob = await before.signUp('bob')
  const post = await ada.publish()
  expect((await ada.put(`/accounts/${bob.id}/block`)).status).toBe(200)
  await allSettled(before)
  await before.app.stop()

  const { key, tables } = relationshipsModel
  const client = new pg.Client({ connectionString: before.databaseUrl })
  await client.connect()
  // As a new version finds it: tables without rows, and no checkpoint. What stands in the way of filling it is a lock that readers do not see.
  await client.query(`truncate ${Object.keys(tables).map(table => `${key}.${table}`)}`)
  await client.query(`delete from kernel.consumers where key = '${key}'`)
  await client.query(`begin; lock table ${key}.blocks in share mode`)
  let serves = false
  const starting = testApp({ databaseUrl: before.databaseUrl, mediaDir: before.mediaDir, secret: before.secret }).then(app => {
    serves = true
    return app
  })
  const others = readModels.filter(model => model.key !== key).map(model => model.key)
  await vi.waitFor(async () => {
    const { rows: stuck } = await client.query('select from pg_locks where not granted')
    const { rows: settled } = await client.query('select from kernel.runs where not pending && $1', [others])
    expect([stuck.length > 0, settled.length > 0]).toEqual([true, true])
  }, 20_000)
  expect(serves).toBe(false)
  await client.query('rollback')
  await client.end()
  const after = await starting
  const read = { headers: { Authorization: `Bearer ${bob.session.accessToken}` } }
  expect((await after.get(`/posts/${post.id}`, read)).status).toBe(404)
  expect((await after.get('/accounts/ada', read)).status).toBe(404)
  await after.stop()
  await before.stop()
})
