import { inTime, type Part, type PartStatus, Parts } from './parts.ts'
import type { EventStore } from './ports/event-store.ts'
import type { ReadModel } from './projecting/model.ts'
import { type Database, type RawBuilder, sql } from './sql.ts'

/** How a consumer of the log stands; times in seconds. */
export type ConsumerStatus = {
  readonly name: string
  readonly kind: 'model' | 'state' | 'reaction'
  readonly version: number
  readonly position: number
  /** Positions of the log that it has not passed yet. */
  readonly lag: number
  readonly state: 'running' | 'idle' | 'paused' | 'waiting_for_upgrade'
  /** The event it stands at, where it is paused or waits. */
  readonly error: { id: string; type: string; stream: string; position: number; message: string } | null
  /** One that does not run has ended on its way: the next goes on from its position. */
  readonly rebuild: {
    running: boolean
    position: number
    target: number
    events: number
    eventsPerSecond: number
    secondsLeft: number | null
  } | null
}

type Row = {
  key: string
  position: number
  state: 'running' | 'paused' | 'waiting_for_upgrade'
  error: ConsumerStatus['error']
  held: boolean
  rebuild_position: number | null
  began: number
  rebuilding: boolean
  target: number
  events: number
  seconds: number
}

/** Every consumer of the log, its lag against the log's head, and a rebuild that is under way. */
export async function consumerStatus(db: Database, models: readonly ReadModel[], head: number): Promise<ConsumerStatus[]> {
  const byKey = new Map(models.map(model => [model.key, model]))
  const rows = await db.run<Row>(sql`
    select c.key, greatest(c.checkpoint, case when not c.key = any(r.pending) then r.position end) as position, c.state, c.error,
      c.lease_until > now() as held, b.position as rebuild_position, b.began, b.lease_until > now() as rebuilding, b.target, b.events, extract(epoch from now() - b.started_at)::float as seconds
    from kernel.consumers c left join kernel.runs r on r.holder = c.holder left join kernel.rebuilds b on b.key = c.key order by c.key`)
  return rows.map(row => {
    const model = byKey.get(row.key)
    const rate = row.rebuilding && row.seconds > 0 ? row.events / row.seconds : 0
    const done =
      row.rebuilding && row.rebuild_position !== null && row.seconds > 0 ? (row.rebuild_position - row.began) / row.seconds : 0
    return {
      name: model?.name ?? row.key,
      kind: model?.kind ?? 'reaction',
      version: model?.version ?? 1,
      position: row.position,
      lag: Math.max(0, head - row.position),
      state: row.state === 'running' && !row.held ? 'idle' : row.state,
      error: row.error,
      rebuild:
        row.rebuild_position === null
          ? null
          : {
              running: row.rebuilding,
              position: row.rebuild_position,
              target: row.target,
              events: row.events,
              eventsPerSecond: Math.round(rate),
              secondsLeft: done > 0 ? Math.ceil((row.target - row.rebuild_position) / done) : null,
            },
    }
  })
}

/** What waits for its time to come, and that has come. */
export type Due = { readonly count: number; readonly oldestSeconds: number }

/** What the process and the deployment are like now. */
export type Health = {
  /** `degraded`: it serves, and something needs a person. `not_ready`: it cannot serve. */
  readonly state: 'ready' | 'degraded' | 'not_ready'
  /** What is wrong, a sentence each; empty where all is well. */
  readonly reasons: readonly string[]
  readonly parts: readonly PartStatus[]
}

export type Status = { readonly head: number; readonly consumers: readonly ConsumerStatus[] }

/** Looks at everything for operators and probes. One look at a time each, however many ask. */
export type Watch = {
  readonly status: () => Promise<Status>
  readonly parts: () => Promise<readonly PartStatus[]>
  /** Mails and timers that are due. */
  readonly due: () => Promise<{ readonly mails: Due; readonly timers: Due }>
  /** Never rejects, and takes no longer than a part has to answer. */
  readonly health: () => Promise<Health>
}

/** About so many events behind, a read model is said to be too late. */
const eventsBehind = 10_000

export function watch({
  store,
  db,
  models,
  timers,
  parts: watched,
}: {
  readonly store: Pick<EventStore, 'head' | 'positionsPerEvent'>
  readonly db: Database
  readonly models: readonly ReadModel[]
  /** The model of timers. */
  readonly timers: ReadModel
  readonly parts: readonly Part[]
}): Watch {
  const parts = new Parts(watched)
  const status = atOnce(async () => {
    const head = await store.head()
    return { head, consumers: await consumerStatus(db, models, head) }
  })
  const due = atOnce(async () => {
    const [row] = await db.run<{ mails: Due; timers: Due }>(sql`
      select (select ${dueJson(sql`at`)} from kernel.outbox where due <= now()) as mails,
        (select ${dueJson(sql`due`)} from ${sql.table(`${timers.key}.timers`)} where due <= now()) as timers`)
    return row ?? { mails: nothing, timers: nothing }
  })
  return {
    status,
    due,
    parts: () => parts.look(),
    async health() {
      const looked = await parts.look()
      const away = looked.flatMap(({ called, away }) => (away === null ? [] : [`${called} does not answer: ${away.reason}`]))
      if (looked.some(({ needed, away }) => needed && away !== null)) return { state: 'not_ready', reasons: away, parts: looked }
      // What serves at all does so for most: a model that stands still is the same in every process, and a router would have none left.
      const known = await inTime(status().catch(() => null))
      const late = known === null ? ['the read models could not be looked at'] : troublesOf(known, store.positionsPerEvent)
      const reasons = [...away, ...late]
      return { state: reasons.length === 0 ? 'ready' : 'degraded', reasons, parts: looked }
    },
  }
}

const nothing: Due = { count: 0, oldestSeconds: 0 }
const dueJson = (since: RawBuilder<unknown>): RawBuilder<Due> =>
  sql`json_build_object('count', count(*), 'oldestSeconds', coalesce(round(extract(epoch from now() - min(${since}))), 0))`

/** The same look for all who ask while it is under way. */
function atOnce<T>(look: () => Promise<T>): () => Promise<T> {
  let looking: Promise<T> | null = null
  return () =>
    (looking ??= look().finally(() => {
      looking = null
    }))
}

const troublesOf = ({ consumers }: Status, positionsPerEvent: number): string[] =>
  consumers.flatMap(({ name, state, lag }) => {
    if (state === 'paused') return [`${name} is paused at an event that it cannot project`]
    return lag > eventsBehind * positionsPerEvent && state !== 'waiting_for_upgrade'
      ? [`${name} is ${lag} positions behind the log`]
      : []
  })
