import type { Clock } from '../../kernel/ports/clock.ts'
import type { Log } from '../../kernel/ports/log.ts'
import { type Db, sql } from '../../kernel/sql.ts'

const everyMs = 10_000
/** From where on an operator hears that this machine's clock is wrong (ms). */
const worthTelling = 5_000

/**
 * The time of the database, which is the same for all nodes, carried on between two looks by a counter that nobody can set: when the wall clock of
 * one node is wrong or jumps, what that node writes, signs and lets expire is as right as on the others.
 */
export class DatabaseClock implements Clock {
  readonly #db: Db
  readonly #log: Log
  readonly #interval: NodeJS.Timeout
  #looking: Promise<void> = Promise.resolve()
  /** What the counter lacks to the database's time. */
  #offset = Number.NaN
  #told = false

  private constructor(db: Db, log: Log) {
    this.#db = db
    this.#log = log
    this.#interval = setInterval(() => {
      this.#looking = this.#look().catch(error => log.debug({ error: String(error) }, 'the clock goes on without the database'))
    }, everyMs)
    this.#interval.unref()
  }

  /** Looks at the database's time once, and from then on now and again. */
  static async start(db: Db, log: Log): Promise<DatabaseClock> {
    const clock = new DatabaseClock(db, log)
    try {
      await clock.#look()
    } catch (error) {
      await clock.stop()
      throw error
    }
    return clock
  }

  now = (): number => Math.floor(performance.now() + this.#offset)

  async stop(): Promise<void> {
    clearInterval(this.#interval)
    await this.#looking
  }

  async #look(): Promise<void> {
    const asked = performance.now()
    const [row] = await this.#db.run<{ now: number }>(sql`select extract(epoch from clock_timestamp()) * 1000 as now`)
    const answered = performance.now()
    const offset = row!.now - (asked + answered) / 2
    // A late answer says little: what it does not disprove stays, so that time does not waver under load.
    const doubt = (answered - asked) / 2 + 1
    if (!(Math.abs(offset - this.#offset) <= doubt)) this.#offset = offset
    const wrong = Date.now() - this.now()
    const isWrong = Math.abs(wrong) > worthTelling + doubt
    if (isWrong && !this.#told)
      this.#log.warn({ seconds: Math.round(wrong / 1_000) }, 'the clock of this machine differs from that of the database')
    this.#told = isWrong
  }
}
