import { closePool, openPool } from '../../src/adapters/postgres/database.ts'
import type { Foundation } from '../../src/app.ts'
import type { ReadModel } from '../../src/kernel/projecting/model.ts'
import { rebuild } from '../../src/kernel/projecting/rebuild.ts'
import { verify } from '../../src/kernel/projecting/verify.ts'
import { feedModel } from '../../src/projections/feed/project.ts'
import { likesModel } from '../../src/projections/likes/project.ts'
import { readModels } from '../../src/projections/models.ts'
import { notificationsModel } from '../../src/projections/notifications/project.ts'
import { relationshipsModel } from '../../src/projections/relationships/project.ts'
import { type Line, median, mustBe } from '../row.ts'

/** Works at what is left of a list, in two lanes: Postgres works on each with one process. */
async function inTwo<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items]
  const lane = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item)
  }
  await Promise.all([lane(), lane()])
}

/** The same rows into the same tables with the same indexes, from files. Seconds, and how many rows. */
async function copied(url: string, models: readonly ReadModel[]): Promise<{ seconds: number; rows: number }> {
  const pool = openPool(url, 2, () => {})
  try {
    const [{ folder } = { folder: '' }] = (
      await pool.query<{ folder: string }>(`select current_setting('data_directory') as folder`)
    ).rows
    await pool.query('create schema bench_copy')
    const tables = models.flatMap(({ key, tables }) =>
      Object.keys(tables).map(table => ({
        from: `${key}.${table}`,
        to: `bench_copy.${key}_${table}`,
        file: `'${folder}/${key}_${table}.copy'`,
      })),
    )
    await inTwo(tables, async ({ from, to, file }) => {
      await pool.query(`create table ${to} (like ${from} including all)`)
      await pool.query(`copy ${from} to ${file}`)
    })
    let rows = 0
    const began = performance.now()
    await inTwo(tables, async ({ to, file }) => {
      const { rowCount } = await pool.query(`copy ${to} from ${file}`)
      rows += rowCount ?? 0
    })
    const seconds = (performance.now() - began) / 1_000
    await pool.query('drop schema bench_copy cascade')
    for (const { file } of tables) await pool.query(`copy (select 1 where false) to ${file}`)
    return { seconds, rows }
  } finally {
    await closePool(pool)
  }
}

type RebuiltAll = {
  readonly events: number
  readonly seconds: number
  readonly each: readonly string[]
  readonly memory: readonly number[]
}

/** All read models, two at a time. `memory`: this process's resident bytes, five times a second. */
export async function rebuildAll(foundation: Foundation): Promise<RebuiltAll> {
  let events = 0
  const memory: number[] = []
  const watching = setInterval(() => memory.push(process.memoryUsage.rss()), 200)
  const each: string[] = []
  const began = performance.now()
  try {
    // The longest first.
    await inTwo([...new Set<ReadModel>([notificationsModel, feedModel, relationshipsModel, ...readModels])], async model => {
      const done = await rebuild(foundation, model)
      events += done.events
      each.push(`${model.name} ${Math.round(done.events / done.seconds)}/s`)
    })
  } finally {
    clearInterval(watching)
  }
  return { events, seconds: (performance.now() - began) / 1_000, each, memory }
}

/** Resident memory in the quarters of a rebuild: where it is flat, the last is no more than the second. */
const memoryOf = (memory: readonly number[]): string => {
  const quarters = [0.25, 0.5, 0.75, 1].map(share => memory.slice(0, Math.max(1, Math.floor(memory.length * share))).slice(-5))
  return `memory ${quarters.map(some => Math.round(Math.max(...some) / 2 ** 20)).join(', ')} MiB at its quarters, at most ${Math.round(Math.max(...memory) / 2 ** 20)}`
}

/** All read models once, the likes three times. Runs before the server does: nothing is served without them. */
export async function rebuilding(foundation: Foundation, url: string, only: (name: string) => boolean): Promise<Line[]> {
  const { events, seconds, each, memory } = await rebuildAll(foundation)
  if (!only('rebuild')) return []
  const lines: Line[] = []
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
      check: `once, ${events} events; ${memoryOf(memory)}; ${each.join(', ')}`,
    },
  })
  return lines
}
