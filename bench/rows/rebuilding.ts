import { closePool, openPool } from '../../src/adapters/postgres/database.ts'
import type { Foundation } from '../../src/app.ts'
import type { ReadModel } from '../../src/kernel/projecting/model.ts'
import { rebuild } from '../../src/kernel/projecting/rebuild.ts'
import { verify } from '../../src/kernel/projecting/verify.ts'
import { feedModel } from '../../src/projections/feed/project.ts'
import { likesModel } from '../../src/projections/likes/project.ts'
import { readModels } from '../../src/projections/models.ts'
import { type Line, median, mustBe } from '../row.ts'

/** The same rows into the same tables with the same indexes, from a file. Seconds, and how many rows. */
async function copied(url: string, models: readonly ReadModel[]): Promise<{ seconds: number; rows: number }> {
  const pool = openPool(url, 1, () => {})
  try {
    const [{ folder } = { folder: '' }] = (
      await pool.query<{ folder: string }>(`select current_setting('data_directory') as folder`)
    ).rows
    const file = `'${folder}/bench.copy'`
    let rows = 0
    let ms = 0
    for (const { key, tables } of models) {
      for (const table of Object.keys(tables)) {
        await pool.query('create schema bench_copy')
        await pool.query(`create table bench_copy.copied (like ${key}.${table} including all)`)
        await pool.query(`copy ${key}.${table} to ${file}`)
        const began = performance.now()
        rows += (await pool.query(`copy bench_copy.copied from ${file}`)).rowCount ?? 0
        ms += performance.now() - began
        await pool.query('drop schema bench_copy cascade')
      }
    }
    await pool.query(`copy (select 1 where false) to ${file}`)
    return { seconds: ms / 1_000, rows }
  } finally {
    await closePool(pool)
  }
}

/** All read models, two at a time, once; the likes three times. Runs before the server does: nothing is served without them. */
export async function rebuilding(foundation: Foundation, url: string, only: (name: string) => boolean): Promise<Line[]> {
  const lines: Line[] = []
  let events = 0
  let most = 0
  const watching = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss)
  }, 200)
  const each: string[] = []
  // The longest first, and others beside it: Postgres works on each with one process.
  const waiting = [...readModels].sort((a, b) => Number(b === feedModel) - Number(a === feedModel))
  const began = performance.now()
  const lane = async (): Promise<void> => {
    for (let model = waiting.shift(); model !== undefined; model = waiting.shift()) {
      const done = await rebuild(foundation, model)
      events += done.events
      each.push(`${model.name} ${Math.round(done.events / done.seconds)}/s`)
    }
  }
  try {
    await Promise.all([lane(), lane()])
  } finally {
    clearInterval(watching)
  }
  const seconds = (performance.now() - began) / 1_000
  if (!only('rebuild')) return []
  const ours: number[] = []
  const limits: { seconds: number; rows: number }[] = []
  let liked = 0
  for (let round = 0; round < 3; round++) {
    const done = await rebuild(foundation, likesModel)
    liked = done.events
    ours.push(done.seconds)
    limits.push(await copied(url, [likesModel]))
  }
  const { differences, more } = await verify(foundation, likesModel)
  mustBe('differences of the likes', [differences.length, more], [0, 0])
  const limit = median(limits, one => one.seconds)
  const one = median(ours, took => took)
  const common = { unit: ' events/s', p50: null, p99: null }
  lines.push({
    ...{ work: 'rebuild of the likes', rate: liked / one, ...common, aim: '0.25, goal 0.5', limit: liked / limit.seconds },
    ...{ limitIs: `COPY of its ${limit.rows} rows, same indexes`, check: 'verify finds no difference' },
  })
  const all = await copied(url, readModels)
  lines.push({
    ...{ work: 'rebuild of all read models', rate: events / seconds, ...common, aim: '0.2', limit: events / all.seconds },
    ...{
      limitIs: `COPY of their ${all.rows} rows, same indexes`,
      check: `once; memory at most ${Math.round(most / 2 ** 20)} MiB; ${each.join(', ')}`,
    },
  })
  return lines
}
