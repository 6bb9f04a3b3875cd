import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { database, openPool } from '../src/adapters/postgres/database.ts'
import { sql } from '../src/kernel/sql.ts'
import { keptSecret, openLog } from '../src/setup.ts'
import { freshDatabase } from './support/database.ts'
import { temporaryFolder } from './support/temporary.ts'

it('an error of the database is logged without the row that it quotes', async () => {
  const fresh = await freshDatabase()
  const pool = openPool(fresh.url, 1, () => {})
  const db = database(pool)
  await db.run(sql`create table words (text text, n int not null)`)
  const error = await db.run(sql`insert into words (text) values ('what somebody wrote')`).catch((error: unknown) => error)
  const lines: string[] = []
  openLog({ logLevel: 'error' }, { write: text => void lines.push(text) }).error({ err: error }, 'failed')
  expect(JSON.parse(lines[0]!).err).toMatchObject({ code: '23502', stack: expect.any(String) })
  expect(lines.join()).not.toContain('what somebody wrote')
  await pool.end()
  await fresh.drop()
})

it('the secret is made once, also where a start was killed while it made it', async () => {
  const folder = await temporaryFolder()
  await writeFile(join(folder, `.secret-${process.pid}`), '')
  const secret = await keptSecret(folder)
  expect(secret).toHaveLength(43)
  expect(await keptSecret(folder)).toBe(secret)
  expect((await stat(join(folder, 'secret'))).mode & 0o777).toBe(0o600)
  expect(await readdir(folder)).toHaveLength(2)
})
