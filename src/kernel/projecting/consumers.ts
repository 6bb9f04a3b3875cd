import type { Codec } from '../codec.ts'
import type { Event, EventType, LoggedEvent, Recorded } from '../events.ts'
import { liveSubject, topicsSubject } from '../live/journal.ts'
import type { Bus } from '../ports/bus.ts'
import type { Clock } from '../ports/clock.ts'
import { type Database, type Db, sql } from '../sql.ts'
import type { Mark, Tracing } from '../tracing.ts'
import type { Consumer } from './consumer.ts'
import type { Transactions } from './group-commit.ts'
import type { ReadModel } from './model.ts'

/** A model with more events than these to project commits alone: whoever commits with it would wait. */
const mostTogether = 100

export type Together = {
  readonly commits: Transactions
  /** Types of events that may delete any number of rows: they commit alone too. */
  readonly wide: ReadonlySet<string>
}

/**
 * A read model as a consumer: rows and checkpoint in one transaction, the fence first, so that a process that lost its lease writes nothing.
 * @param together what it commits with others where that is little; by default it commits alone
 */
export const modelConsumer = (
  model: ReadModel,
  codec: Codec,
  db: Transactions,
  bus: Bus,
  tracing: Tracing | null = null,
  together: Together | null = null,
): Consumer => {
  const transactionsFor = (events: readonly LoggedEvent[]): Transactions =>
    together === null || model.apart || events.length > mostTogether || events.some(({ type }) => together.wide.has(type))
      ? db
      : together.commits
  const apply = async (events: readonly LoggedEvent[], advance: (db: Db) => Promise<void>, mark?: Mark): Promise<void> => {
    const batch = await codec.open(events)
    const projected = await transactionsFor(events).transaction(async tx => {
      // The fence goes out first and with the first rows; where it fails, all that came after it goes back. It is asked in the turn of this promise, with those of others.
      const [advanced, written] = await Promise.allSettled([
        advance(tx),
        Promise.resolve().then(() => model.projectInto(model.key, batch, tx)),
      ])
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
