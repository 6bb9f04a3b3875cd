import type { Bus } from './ports/bus.ts'
import type { EventStore } from './ports/event-store.ts'
import type { Storage } from './ports/storage.ts'
import { type Db, sql } from './sql.ts'

/** Something that the process stands on. */
export type Part = {
  /** In metrics: `database`. */
  readonly name: string
  /** In sentences: `the database`. */
  readonly called: string
  /** Whether this process can do nothing worth routing to it without the part. */
  readonly needed: boolean
  /** For how long an answer counts, in milliseconds: a look may cost the other side something. */
  readonly every: number
  /** Rejects, with the reason, where the part does not serve. */
  readonly look: () => Promise<unknown>
}

/** Log and database are needed; without the others it serves on, but for what they are there for. */
export const partsInUse = ({
  store,
  db,
  bus,
  storage,
  post,
}: {
  readonly store: Pick<EventStore, 'head'>
  readonly db: Db
  readonly bus: Bus
  readonly storage: Storage
  /** Null where this process sends no mail. */
  readonly post: { look(): Promise<void> } | null
}): Part[] => [
  { name: 'log', called: 'the event log', needed: true, every: 0, look: () => store.head() },
  { name: 'database', called: 'the database', needed: true, every: 0, look: () => db.run(sql`select 1`) },
  { name: 'pictures', called: 'the store of pictures', needed: false, every: 10_000, look: () => storage.look() },
  ...(bus.look === undefined ? [] : [{ name: 'nats', called: 'NATS', needed: false, every: 0, look: async () => bus.look?.() }]),
  ...(post === null ? [] : [{ name: 'mail', called: 'the mail server', needed: false, every: 60_000, look: () => post.look() }]),
]

/** How a part stands: `away` says since when (seconds) and why. */
export type PartStatus = {
  readonly name: string
  readonly called: string
  readonly needed: boolean
  readonly away: { readonly seconds: number; readonly reason: string } | null
}

/** Milliseconds in which a part has to answer: whoever asks how we are waits no longer. */
const patienceMs = 1_500

/** Looks at the parts that are in use, one look at a time each, and no oftener than each wants. */
export class Parts {
  readonly #watched: Watched[]

  constructor(parts: readonly Part[]) {
    this.#watched = parts.map(part => new Watched(part))
  }

  /** How all of them stand; never rejects, and takes no longer than a part has to answer. */
  look(): Promise<PartStatus[]> {
    return Promise.all(this.#watched.map(part => part.status()))
  }
}

class Watched {
  readonly #part: Part
  #looking: Promise<void> | null = null
  #lookedAt = Number.NEGATIVE_INFINITY
  #reason: string | null = null
  #awaySince = 0

  constructor(part: Part) {
    this.#part = part
  }

  async status(): Promise<PartStatus> {
    const { name, called, needed, every } = this.#part
    if (performance.now() - this.#lookedAt >= every) {
      this.#looking ??= this.#look()
      if ((await inTime(this.#looking.then(() => true))) === null) this.#stands(`no answer within ${patienceMs} ms`)
    }
    const seconds = Math.round((performance.now() - this.#awaySince) / 1_000)
    return { name, called, needed, away: this.#reason === null ? null : { seconds, reason: this.#reason } }
  }

  async #look(): Promise<void> {
    try {
      await this.#part.look()
      this.#stands(null)
    } catch (error) {
      this.#stands((error as Error).message || 'no connection')
    }
    this.#lookedAt = performance.now()
    this.#looking = null
  }

  #stands(reason: string | null): void {
    if (reason !== null && this.#reason === null) this.#awaySince = performance.now()
    this.#reason = reason
  }
}

/** What the work answers, or null where that takes too long for whoever asks how we are. */
export async function inTime<T>(work: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<null>(resolve => {
    timer = setTimeout(() => resolve(null), patienceMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
