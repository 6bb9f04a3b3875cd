import type { Event, EventType, Recorded } from './events.ts'
import { type Clock, iso } from './ports/clock.ts'
import type { Log } from './ports/log.ts'
import { lastOf, type ReadModel, readModel } from './projecting/model.ts'
import { rows } from './rows.ts'
import { type Database, sql } from './sql.ts'

/** Something that is due at a time, or not any more. */
export type Schedule = { readonly key: string; readonly due: string } | { readonly cancel: string }

/** A durable timer: events set and cancel it; when it is due it fires an idempotent command, at least once. */
export type Timer<E extends Event = Event> = {
  readonly name: string
  readonly events: readonly Pick<EventType, 'type'>[]
  /** Pure. `due`: ISO 8601 UTC. */
  schedule(event: Recorded<E>): readonly Schedule[]
  fire(key: string): Promise<void>
}

/** Names the events of a timer once. */
export const timer =
  <E extends Event>() =>
  (parts: Timer<E>): Timer =>
    parts as unknown as Timer

const claimed = `interval '1 minute'`
const atOnce = 20

/** The timers that wait: state, for a timer that has fired is gone. */
export const timersModel = (timers: readonly Timer[]): ReadModel =>
  readModel<Event>()({
    name: 'timers',
    version: 1,
    kind: 'state',
    events: [...new Map(timers.flatMap(({ events }) => events).map(type => [type.type, type])).values()],
    tables: {
      timers: {
        columns:
          'name text not null, key text not null, due timestamptz not null, claimed_until timestamptz, primary key (name, key)',
        indexes: ['(due)'],
      },
    },
    async project(batch, tx, t) {
      const said = batch.flatMap(event =>
        timers
          .filter(({ events }) => events.some(({ type }) => type === event.type))
          .flatMap(({ name, schedule }) =>
            schedule(event as Recorded<Event>).map(said =>
              'cancel' in said ? { name, key: said.cancel, due: null } : { name, ...said },
            ),
          ),
      )
      const last = lastOf(said, ({ name, key }) => `${name} ${key}`)
      const gone = last.filter(({ due }) => due === null)
      const set = last.filter(({ due }) => due !== null)
      const names = { name: 'text', key: 'text' } as const
      if (gone.length > 0)
        await tx.run(
          sql`delete from ${t.timers} t using ${rows('gone', names, gone)} where t.name = gone.name and t.key = gone.key`,
        )
      if (set.length > 0) {
        await tx.run(sql`
          insert into ${t.timers} (name, key, due) select name, key, due from ${rows('said', { ...names, due: 'timestamptz' }, set)}
          on conflict (name, key) do update set due = excluded.due, claimed_until = null`)
      }
    },
  })

export type TimerParts = {
  readonly db: Database
  readonly clock: Clock
  readonly log: Log
  readonly timers: readonly Timer[]
  readonly model: ReadModel
}

/** Fires what is due: any number of processes may, each timer is claimed by one for a minute. */
export class TimerLoop {
  readonly #parts: TimerParts
  readonly #everyMs: number
  #interval: NodeJS.Timeout | undefined
  #firing: Promise<number> | null = null
  #stopping = false

  constructor(parts: TimerParts, everyMs = 1_000) {
    this.#parts = parts
    this.#everyMs = everyMs
  }

  start(): void {
    this.#interval = setInterval(() => {
      this.tick().catch(error => this.#parts.log.warn({ error: String(error) }, 'timers wait for the database'))
    }, this.#everyMs)
    this.#interval.unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#interval)
    this.#stopping = true
    await this.#firing?.catch(() => {})
  }

  /** Fires all that is due now. Returns how many did. */
  tick(): Promise<number> {
    this.#firing ??= this.#fireAll().finally(() => {
      this.#firing = null
    })
    return this.#firing
  }

  async #fireAll(): Promise<number> {
    const { db, clock, log, timers, model } = this.#parts
    const table = sql.table(`${model.key}.timers`)
    let fired = 0
    // Those alone that this release knows: a newer one beside it may have others.
    const names = timers.map(({ name }) => name)
    while (!this.#stopping) {
      const due = await db.run<{ name: string; key: string; due: string }>(sql`
        update ${table} t set claimed_until = now() + ${sql.raw(claimed)}
        from (select name, key from ${table} where due <= ${iso(clock.now())} and name = any(${sql.val(names)}::text[]) and (claimed_until is null or claimed_until < now())
              order by due limit ${sql.lit(atOnce)} for update skip locked) d
        where t.name = d.name and t.key = d.key returning t.name, t.key, t.due`)
      if (due.length === 0) break
      for (const { name, key, due: at } of due) {
        try {
          await timers.find(timer => timer.name === name)?.fire(key)
          await db.run(sql`delete from ${table} where name = ${name} and key = ${key} and due = ${at}`)
          fired++
        } catch (error) {
          // Its claim ends in a minute, and it is tried again.
          log.error({ timer: name, key, err: error }, 'a timer failed; it is tried again')
        }
      }
    }
    return fired
  }
}
