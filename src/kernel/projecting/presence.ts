import type { Log } from '../ports/log.ts'
import { type Database, sql } from '../sql.ts'
import type { ReadModel } from './model.ts'
import { dropAbandoned } from './scratch.ts'

const renewMs = 20_000
const presentMs = 60_000

/**
 * Says which versions of read models this process reads, and drops older ones that no process reads any more: two releases can serve side by
 * side, and the last process of the older one, or whoever looks after it is gone, clears up. So it does with rebuilds and verifications that were left.
 */
export class Presence {
  readonly #db: Database
  readonly #holder: string
  readonly #models: readonly ReadModel[]
  readonly #log: Log
  #timer: NodeJS.Timeout | undefined
  #renewing: Promise<void> | null = null

  constructor(db: Database, holder: string, models: readonly ReadModel[], log: Log) {
    this.#db = db
    this.#holder = holder
    this.#models = models
    this.#log = log
  }

  async start(): Promise<void> {
    await this.#renew()
    this.#timer = setInterval(() => {
      this.#renewing ??= this.#renew()
        .catch(error => this.#log.warn({ error: String(error) }, 'could not say that this process is here'))
        .finally(() => {
          this.#renewing = null
        })
    }, renewMs)
    this.#timer.unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#renewing
    await this.#db.run(sql`delete from kernel.processes where holder = ${this.#holder}`)
    await this.#drop()
  }

  async #renew(): Promise<void> {
    const keys = this.#models.map(({ key }) => key)
    await this.#db.run(sql`
      insert into kernel.processes (holder, keys, seen_until) values (${this.#holder}, ${sql.val(keys)}::text[], now() + ${sql.lit(presentMs)} * interval '1 ms')
      on conflict (holder) do update set seen_until = excluded.seen_until`)
    await this.#drop()
  }

  /** Versions that a present process has a later one of, and that none reads. */
  async #drop(): Promise<void> {
    const unread = await this.#db.transaction(async tx => {
      await tx.run(sql`select pg_advisory_xact_lock(hashtext('darkroom.migrate'))`)
      await tx.run(sql`delete from kernel.processes where seen_until < now()`)
      const found = await tx.run<{ key: string }>(sql`
        with read as (select distinct unnest(keys) as key from kernel.processes),
             versions as (select key, substring(key from '^(.*)_v\\d+$') as name, substring(key from '_v(\\d+)$')::int as version from kernel.consumers)
        select v.key from versions v
        where v.version is not null and not exists (select from read r where r.key = v.key)
          and exists (select from read r where substring(r.key from '^(.*)_v\\d+$') = v.name and substring(r.key from '_v(\\d+)$')::int > v.version)`)
      for (const { key } of found) {
        await tx.run(sql.raw(`drop schema if exists ${key} cascade`))
        await tx.run(sql`delete from kernel.consumers where key = ${key}`)
      }
      return found
    })
    for (const { key } of unread) this.#log.info({ model: key }, 'dropped: no process reads this version any more')
    for (const key of await dropAbandoned(this.#db)) this.#log.info({ key }, 'dropped: nobody went on with it')
  }
}
