import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises'
import { type Db, OneRequest, query, type RawBuilder, sql } from '../sql.ts'
import type { ReadModel } from './model.ts'
import { anyRow, type Change, mostFollowed } from './notes.ts'

export type Noting = ReadModel & { readonly t: { readonly changes: RawBuilder<unknown> } }

/** What is news of a model: what it noted since, and its fence, by a row without a key, where that is another one. */
type Noted = { readonly model: number } & (
  | (Change & { readonly fence: null })
  | { readonly key: null; readonly position: null; readonly fence: number | null }
)

/** Questions that may be under way at once: what is asked meanwhile waits for the next, but no longer than so many milliseconds. */
const questionsAtOnce = 2
const patience = 1_000

/** A model whose rows are kept, and how far its notes were followed. */
type Followed = {
  readonly model: Noting
  readonly kept: Dropping[]
  /** All changes up to here are followed; null before the first question. */
  position: number | null
  /** Of the model's schema: another one after a rebuilt one was swapped in, or another process took over. */
  fence: number | null
}

/** What keeps rows of a model: told of the keys that were changed, and of those among them that are gone with all that is theirs. */
export type Dropping = { drop(changed: ReadonlySet<string>, owners: ReadonlySet<string>): void }

/** Follows what models note, all of them by one statement, for all that is kept of them in this process. */
export class Changes {
  readonly #models: Followed[] = []
  #noted: ((db: Db, known: Record<string, number | null>) => Promise<Noted[]>) | null = null
  /** Of each database the question that has not gone out yet. */
  readonly #asked = new WeakMap<Db, Promise<void>>()
  readonly #underWay = new Set<Promise<void>>()

  /** Before the first question. */
  add(model: Noting, kept: Dropping): void {
    const known = this.#models.find(one => one.model === model)
    if (known === undefined) this.#models.push({ model, kept: [kept], position: null, fence: null })
    else known.kept.push(kept)
  }

  /** Drops all that was changed up to now, for a request up to its own question: asked once for all who ask in one turn of the event loop. */
  follow(db: Db): Promise<void> {
    if (db instanceof OneRequest) return db.follow(pool => this.follow(pool))
    let asked = this.#asked.get(db)
    if (asked === undefined) {
      asked = this.#follow(db)
      this.#asked.set(db, asked)
    }
    return asked
  }

  async #follow(db: Db): Promise<void> {
    await turn()
    // Who asks meanwhile joins. A database that answers nothing is noticed by each question's own limit.
    if (this.#underWay.size >= questionsAtOnce)
      await Promise.race([...this.#underWay, pause(patience, undefined, { ref: false })])
    this.#asked.delete(db)
    const asking = this.#ask(db)
    const ended = asking.then(
      () => {},
      () => {},
    )
    this.#underWay.add(ended)
    try {
      await asking
    } finally {
      this.#underWay.delete(ended)
    }
  }

  async #ask(db: Db): Promise<void> {
    const strange = this.#models.filter(({ position }) => position === null)
    if (strange.length > 0) {
      await Promise.all(strange.map(one => this.#startOver(db, one)))
      return
    }
    this.#noted ??= this.#question()
    const known: Record<string, number | null> = {}
    for (const [index, { position, fence }] of this.#models.entries()) {
      known[`after${index}`] = position
      known[`fence${index}`] = fence
    }
    const news = Map.groupBy(await this.#noted(db, known), ({ model }) => model)
    for (const [index, noted] of news) {
      const one = this.#models[index]!
      const [first] = noted
      const fence = first!.key === null ? first!.fence : known[`fence${index}`]
      // Another one may have been learned meanwhile by who asked later.
      if (noted.length >= mostFollowed || fence !== one.fence) await this.#startOver(db, one)
      else this.#learn(one, noted)
    }
  }

  #learn(one: Followed, noted: readonly Noted[]): void {
    const changed = new Set<string>()
    const owners = new Set<string>()
    for (const change of noted) {
      // Who asked later may have been answered before.
      if (change.key === null || change.position <= one.position!) continue
      changed.add(change.key)
      if (change.owner) owners.add(change.key)
    }
    if (changed.size === 0) return
    for (const kept of one.kept) kept.drop(changed, owners)
    one.position = Math.max(one.position!, noted.at(-1)!.position!)
  }

  /** Only what is read from now on may be kept: what was noted before needs not be followed. */
  async #startOver(db: Db, one: Followed): Promise<void> {
    const { key, t } = one.model
    const [end] = await db.run<{ fence: number | null; position: number }>(
      sql`
        select (select fence from kernel.consumers where key = ${sql.lit(key)}) as fence, (select coalesce(max(position), 0) from ${t.changes}) as position`,
    )
    for (const kept of one.kept) kept.drop(new Set([anyRow]), new Set())
    one.fence = end!.fence
    one.position = end!.position
  }

  /**
   * The positions are bounded from above, too: of a range without known ends Postgres expects a two-hundredth of the rows, of what lies above something a third,
   * and that it would rather look for in the whole table (measured where many changes had left it large: ten times the time of the question).
   */
  #question() {
    return query<Record<string, number | null>, Noted>(p => {
      const known = this.#models.map(
        ({ model: { key } }, index) => sql`(${sql.lit(index)}::int, ${sql.lit(key)}, ${p[`fence${index}`]!}::bigint)`,
      )
      const fences = sql`
        select k.model, c.fence, null::uuid as key, null::boolean as owner, null::bigint as position
        from (values ${sql.join(known)}) k (model, key, fence) left join kernel.consumers c on c.key = k.key
        where c.fence is distinct from k.fence`
      const notes = this.#models.map(
        ({ model: { t } }, index) => sql`
          (select ${sql.lit(index)}::int, null::bigint, key, owner, position from ${t.changes}
           where position > ${p[`after${index}`]!}::bigint and position < ${sql.lit(Number.MAX_SAFE_INTEGER)}::bigint
           order by position limit ${sql.lit(mostFollowed)})`,
      )
      return sql.join([fences, ...notes], sql` union all `)
    })
  }
}
