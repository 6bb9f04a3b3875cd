import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { database, openPool } from '../../../src/adapters/postgres/database.ts'
import { guessLimiter } from '../../../src/kernel/http/guesses.ts'
import { migrate } from '../../../src/kernel/migrate.ts'
import { Problem } from '../../../src/kernel/problem.ts'
import { kernelMigrations } from '../../../src/kernel/projecting/schema.ts'
import { type Database, sql } from '../../../src/kernel/sql.ts'
import { freshDatabase } from '../../support/database.ts'

let pool: pg.Pool
let db: Database
let drop: () => Promise<void>
beforeAll(async () => {
  const fresh = await freshDatabase()
  drop = fresh.drop
  pool = openPool(fresh.url, 10, () => {})
  db = database(pool)
  await migrate(db, kernelMigrations, [])
})
afterAll(async () => {
  await pool.end()
  await drop()
})

const key = randomBytes(32)
const refusals = async (tries: Promise<void>[]) => {
  const results = await Promise.allSettled(tries)
  return results.flatMap(result => (result.status === 'rejected' ? [result.reason as unknown] : []))
}

describe('guesses', () => {
  it('are counted over all nodes, ten at a login from one network', async () => {
    const nodes = [guessLimiter(db, { key, on: true }), guessLimiter(db, { key, on: true })]
    const found = await refusals(Array.from({ length: 14 }, (_, i) => nodes[i % 2]!.count('password', 'ada', '203.0.113.1')))
    expect(found).toHaveLength(4)
    expect(found[0]).toBeInstanceOf(Problem)
    expect(found[0]).toMatchObject({ code: 'rate_limited', headers: { 'Retry-After': expect.stringMatching(/^\d+$/) } })
  })

  it('do not lock the holder out from elsewhere, nor other logins', async () => {
    const limiter = guessLimiter(db, { key, on: true })
    expect(await refusals(Array.from({ length: 11 }, () => limiter.count('password', 'bob', '203.0.113.2')))).toHaveLength(1)
    await limiter.count('password', 'bob', '198.51.100.1')
    await limiter.count('password', 'cleo', '203.0.113.2')
  })

  it('start anew behind a right one', async () => {
    const limiter = guessLimiter(db, { key, on: true })
    for (let i = 0; i < 10; i++) await limiter.count('password', 'dora', '203.0.113.3')
    await limiter.succeeded('password', 'dora', '203.0.113.3')
    await limiter.count('password', 'dora', '203.0.113.3')
  })

  it('that are right do not count: a whole school signs in from one network, and one wrong guess after another is still counted', async () => {
    const limiter = guessLimiter(db, { key, on: true })
    const guess = async (n: number): Promise<void> => {
      await limiter.count('password', `pupil ${n}`, '203.0.113.5')
      await limiter.succeeded('password', `pupil ${n}`, '203.0.113.5')
    }
    for (let n = 0; n < 210; n += 10) await Promise.all(Array.from({ length: 10 }, (_, i) => guess(n + i)))
    const wrong = Array.from({ length: 201 }, (_, n) => limiter.count('password', `guessed at ${n}`, '203.0.113.5'))
    expect(await refusals(wrong)).toHaveLength(1)
  })

  it('that are right do not count at their login either, from however many networks they come', async () => {
    const limiter = guessLimiter(db, { key, on: true })
    for (let n = 0; n < 110; n++) {
      await limiter.count('password', 'gus', `10.9.${n}.1`)
      await limiter.succeeded('password', 'gus', `10.9.${n}.1`)
    }
    const wrong = Array.from({ length: 101 }, (_, n) => limiter.count('password', 'gus', `10.8.${n}.1`))
    expect(await refusals(wrong)).toHaveLength(1)
  })

  it('at codes are counted also with RATE_LIMIT=off, at passwords not', async () => {
    const limiter = guessLimiter(db, { key, on: false })
    expect(await refusals(Array.from({ length: 20 }, () => limiter.count('password', 'eve', '203.0.113.4')))).toHaveLength(0)
    expect(await refusals(Array.from({ length: 20 }, () => limiter.count('code', 'eve', '203.0.113.4')))).toHaveLength(10)
  })

  it('are forgotten after 15 minutes, also those that a wrong clock put days ahead', async () => {
    const limiter = guessLimiter(db, { key, on: true })
    for (let i = 0; i < 10; i++) await limiter.count('password', 'fay', '192.0.2.77')
    const inDays = sql`(extract(epoch from now() + interval '3 days') * 1000)::bigint`
    await db.run(sql`update kernel.guesses set expire = ${inDays}`)
    const [refused] = await refusals([limiter.count('password', 'fay', '192.0.2.77')])
    const retryAfter = Number((refused as Problem).headers['Retry-After'])
    expect(retryAfter).toBeGreaterThan(890)
    expect(retryAfter).toBeLessThanOrEqual(900)
    await db.run(sql`update kernel.guesses set expire = expire - 901000`)
    await limiter.count('password', 'fay', '192.0.2.77')
  })

  it('store no login and no address', async () => {
    const { rows } = await pool.query<{ key: string }>('select key from kernel.guesses')
    expect(rows.length).toBeGreaterThan(0)
    for (const row of rows) expect(row.key).toMatch(/^(pair|subject|network):[\w-]{24}$/)
  })
})
