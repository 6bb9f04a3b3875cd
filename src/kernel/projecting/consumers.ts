import type { Codec } from '../codec.ts'
import type { Event, EventType, LoggedEvent, Recorded } from '../events.ts'
import { liveSubject, topicsSubject } from '../live/journal.ts'
import type { Bus } from '../ports/bus.ts'
import type { Clock } from '../ports/clock.ts'
import { type Database, type Db, sql } from '../sql.ts'
import type { Mark, Tracing } from '../tracing.ts'
import type { Consumer } from './consumer.ts'
import type { ReadModel } from './model.ts'

/**
 * A read model as a consumer: rows and checkpoint in one transaction, the fence first, so that a process that lost its lease writes nothing.
 * @param db its transactions, or those that it shares with others
 */
export const modelConsumer = (
  model: ReadModel,
  codec: Codec,
  db: Pick<Database, 'transaction'>,
  bus: Bus,
  tracing: Tracing | null = null,
): Consumer => {
  const apply = async (events: readonly LoggedEvent[], advance: (db: Db) => Promise<void>, mark?: Mark): Promise<void> => {
    const batch = await codec.open(events)
    const projected = await db.transaction(async tx => {
      // The fence goes out first and with the first rows; where it fails, all that came after it goes back.
      const [advanced, written] = await Promise.allSettled([advance(tx), model.projectInto(model.key, batch, tx)])
      if (advanced.status === 'rejected') throw advanced.reason
      if (written.status === 'rejected') throw written.reason
      return written.value
    })
    if (projected?.topics !== undefined && projected.topics.length > 0) bus.publish(topicsSubject, { topics: projected.topics })
    for (const row of projected?.live ?? []) bus.publish(liveSubject(row), mark === undefined ? row : mark(row))
  }
  return {
    key: model.key,
    types: model.events.map(({ type }) => type),
    from: model.from,
    apply:
      tracing === null ? apply : (events, advance) => tracing.project(model.name, events, mark => apply(events, advance, mark)),
  }
}

/** Something to be done once for an event and never in a rebuild: mail, clean-up, follow-up commands. */
export type Reaction<E extends Event = Event> = {
  readonly name: string
  readonly events: readonly Pick<EventType, 'type'>[]
  /** Milliseconds after which it is too late to do it. */
  readonly maxAge: number
  /** Must be idempotent, or do its effect under `once`. */
  react(event: Recorded<E>): Promise<void>
}

/** Names the events of a reaction once. */
export const reaction =
  <E extends Event>() =>
  (parts: Reaction<E>): Reaction =>
    parts as unknown as Reaction

/** A reaction as a consumer: event after event, at least once each; it begins at what comes after its first deployment. */
export const reactionConsumer = (
  reaction: Reaction,
  codec: Codec,
  db: Database,
  clock: Clock,
  tracing: Tracing | null = null,
): Consumer => ({
  key: `reaction_${reaction.name}`,
  types: reaction.events.map(({ type }) => type),
  from: 'now',
  async apply(events, advance) {
    for (const event of await codec.open<Event>(events)) {
      if (clock.now() - Date.parse(event.at) > reaction.maxAge) continue
      const react = (): Promise<void> => reaction.react(event)
      await (tracing === null ? react() : tracing.react(reaction.name, event, react))
    }
    await advance(db)
  },
})

/** Does an effect unless its key is known to be done; the key is what the provider is given too, for between the effect and its note we may die. */
export async function once(db: Database, key: string, effect: () => Promise<void>): Promise<void> {
  const [done] = await db.run(sql`select key from kernel.effects where key = ${key}`)
  if (done !== undefined) return
  await effect()
  await db.run(sql`insert into kernel.effects (key) values (${key}) on conflict (key) do nothing`)
}
