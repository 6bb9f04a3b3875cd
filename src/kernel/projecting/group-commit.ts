import { type Database, type Db, together } from '../sql.ts'

type Waiting = {
  readonly work: (tx: Db) => Promise<unknown>
  readonly resolve: (value: never) => void
  readonly reject: (error: unknown) => void
}

/**
 * Transactions of several consumers as one: what is ready in the same turn of the event loop is written and committed together. An event that three models want
 * is three checkpoints and a dozen statements of a row each, most of whose cost is to begin, to commit and to go there and back.
 *
 * Where one of them fails, each is tried again by itself, so that none fails for another.
 */
export class GroupCommit implements Pick<Database, 'transaction'> {
  readonly #db: Pick<Database, 'transaction'>
  readonly #isTransient: (error: unknown) => boolean
  #waiting: Waiting[] = []

  /** @param isTransient whether an error says nothing about what was written: nobody needs to be tried again by themselves then */
  constructor(db: Pick<Database, 'transaction'>, isTransient: (error: unknown) => boolean) {
    this.#db = db
    this.#isTransient = isTransient
  }

  /** @param work may be run a second time, where what was written with it was undone */
  transaction<T>(work: (tx: Db) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ work, resolve, reject })
      if (this.#waiting.length === 1) setImmediate(() => void this.#commit(this.#waiting.splice(0)))
    })
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    try {
      const values = await this.#db.transaction(tx => together(group.map(({ work }) => work(tx))))
      for (const [index, { resolve }] of group.entries()) resolve(values[index] as never)
    } catch (error) {
      if (group.length === 1 || this.#isTransient(error)) for (const { reject } of group) reject(error)
      else
        for (const { work, resolve, reject } of group)
          this.#db.transaction(work).then(resolve as (value: unknown) => void, reject)
    }
  }
}
