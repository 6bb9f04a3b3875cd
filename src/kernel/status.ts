import type { EventStore } from './ports/event-store.ts'
import type { ReadModel } from './projecting/model.ts'
import { type Database, sql } from './sql.ts'

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

/** About so many events behind, a read model is said to be no more ready. */
const eventsBehind = 10_000

/** Why this process cannot serve as it should. A model that lags is told, for reads that name a newer token have to wait for it. */
export async function troublesOf(
  store: Pick<EventStore, 'head' | 'positionsPerEvent'>,
  db: Database,
  models: readonly ReadModel[],
): Promise<string[]> {
  const [head, consumers] = await Promise.allSettled([store.head(), consumerStatus(db, models, 0)])
  if (head.status === 'rejected' || consumers.status === 'rejected')
    return [...silence('the event log', head), ...silence('the database', consumers)]
  return consumers.value.flatMap(({ name, state, position }) => {
    if (state === 'paused') return [`${name} is paused at an event that it cannot project`]
    const lag = head.value - position
    return lag > eventsBehind * store.positionsPerEvent && state !== 'waiting_for_upgrade'
      ? [`${name} is ${lag} positions behind the log`]
      : []
  })
}

const silence = (part: string, answer: PromiseSettledResult<unknown>): string[] =>
  answer.status === 'rejected' ? [`${part} does not answer: ${(answer.reason as Error).message || 'no connection'}`] : []
