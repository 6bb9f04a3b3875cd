import { type Db, sql, together } from '../sql.ts'

/** What runs transactions. */
export type Transactions = { transaction<T>(work: (tx: Db) => Promise<T>): Promise<T> }

type Waiting = {
  readonly work: (tx: Db) => Promise<unknown>
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

/** Locks are waited for together no longer than this: while a rebuilt model is swapped in, the others need not stand still with it. */
const waitTogether = sql`set local lock_timeout = '100ms'`

/**
 * Transactions of several consumers as one: what is ready in the same turn of the event loop is written and committed together. An event that three models want
 * is three checkpoints and a dozen statements of a row each, most of whose cost is to begin, to commit and to go there and back.
 *
 * Where one of them fails, or waits for a lock, each is tried again by itself, so that none fails or waits for another.
 */
export class GroupCommit implements Transactions {
  readonly #db: Transactions
  readonly #parted: (error: unknown) => void
  #waiting: Waiting[] = []

  /** @param parted told why those who were together are tried again by themselves: what fails together alone is seen nowhere else */
  constructor(db: Transactions, parted: (error: unknown) => void) {
    this.#db = db
    this.#parted = parted
  }

  /** @param work may be run a second time, where what was written with it was undone, or whether it was is not known */
  transaction<T>(work: (tx: Db) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ work, resolve: resolve as (value: unknown) => void, reject })
      if (this.#waiting.length === 1) setImmediate(() => void this.#commit(this.#waiting.splice(0)))
    })
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    if (group.length > 1) {
      try {
        const [, ...values] = await this.#db.transaction(tx =>
          together([tx.run(waitTogether), ...group.map(({ work }) => work(tx))]),
        )
        for (const [index, { resolve }] of group.entries()) resolve(values[index])
        return
      } catch (error) {
        this.#parted(error)
      }
    }
    for (const { work, resolve, reject } of group) this.#db.transaction(work).then(resolve, reject)
  }
}
