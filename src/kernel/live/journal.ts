import * as v from 'valibot'
import { type Database, query, type RawBuilder, sql } from '../sql.ts'

/** Whom a row concerns: an account alone, or an author's followers (and the author). */
export type Interest = 'account' | 'followers'

/** What happened, to whom it matters, and the ids that it is about; never content. */
export type LiveFact = {
  readonly kind: Interest
  readonly key: string
  readonly type: string
  readonly ids: Readonly<Record<string, unknown>>
}

/** A fact in the journal's order: `seq` has no gaps, for one process at a time writes it. */
export type JournalRow = LiveFact & {
  readonly seq: number
  readonly position: number
  readonly at: string
  /** On the bus alone, where the trace of what happened is told (W3C Trace Context). */
  readonly traceparent?: string | undefined
}

const Row = v.object({
  seq: v.number(),
  position: v.number(),
  at: v.string(),
  kind: v.picklist(['account', 'followers']),
  key: v.string(),
  type: v.string(),
  ids: v.record(v.string(), v.unknown()),
  traceparent: v.optional(v.string()),
})

/** Whether a message of the bus is a row: others may publish there too. */
export const isJournalRow = (message: unknown): message is JournalRow => v.is(Row, message)

/** How long the journal is kept, in milliseconds: who comes back later is told to start anew. */
export const journalKept = 72 * 3_600_000

/** The bus subject of a row: `darkroom.live.<kind>.<key>`. Other services may subscribe to it. */
export const liveSubject = ({ kind, key }: LiveFact): string => `darkroom.live.${kind}.${key}`

/** The subject on which changed topics are told: {topics: string[]}. */
export const topicsSubject = 'darkroom.topics'

const Changed = v.object({ topics: v.array(v.string()) })

/** The topics that a message of the bus names; none where it is no such message. */
export const topicsIn = (message: unknown): readonly string[] => (v.is(Changed, message) ? message.topics : [])

/** The id of the message that tells a row. */
export const messageId = (liveEpoch: string, seq: number): string => `${liveEpoch}-${seq}`

export const interestOf = ({ kind, key }: Pick<LiveFact, 'kind' | 'key'>): string => `${kind}.${key}`

/** Reads the journal of one deployment. */
export class Journal {
  readonly #db: Database
  readonly #head: (db: Database, p: Record<never, never>) => Promise<{ seq: number; position: number; oldest: number | null }[]>
  readonly #after: (db: Database, p: { after: number; limit: number }) => Promise<JournalRow[]>
  readonly #ofInterests: (
    db: Database,
    p: { after: number; until: number; interests: readonly string[]; limit: number },
  ) => Promise<JournalRow[]>

  constructor(db: Database, t: { readonly journal: RawBuilder<unknown>; readonly head: RawBuilder<unknown> }) {
    this.#db = db
    const columns = sql`seq, position, at, kind, key, type, ids`
    this.#head = query(() => sql`select h.seq, h.position, (select min(seq) from ${t.journal}) as oldest from ${t.head} h`)
    this.#after = query(p => sql`select ${columns} from ${t.journal} where seq > ${p.after} order by seq limit ${p.limit}`)
    this.#ofInterests = query(
      p => sql`
        select ${columns} from ${t.journal}
        where seq > ${p.after} and seq <= ${p.until} and kind || '.' || key = any(${p.interests}::text[]) order by seq limit ${p.limit}`,
    )
  }

  /** The newest row's seq and position (0 where there was none yet) and the oldest seq that is kept. */
  async head(): Promise<{ seq: number; position: number; oldest: number | null }> {
    const [head] = await this.#head(this.#db, {})
    return head ?? { seq: 0, position: 0, oldest: null }
  }

  after(seq: number, limit: number): Promise<JournalRow[]> {
    return this.#after(this.#db, { after: seq, limit })
  }

  ofInterests(after: number, until: number, interests: readonly string[], limit: number): Promise<JournalRow[]> {
    return this.#ofInterests(this.#db, { after, until, interests, limit })
  }
}
