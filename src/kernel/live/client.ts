import type { Log } from '../ports/log.ts'
import { interestOf, type JournalRow } from './journal.ts'

/** One message as a client gets it; those of topics, and answers to its frames (`ref`, `code`), have no id. */
export type Message = {
  readonly id?: string
  readonly type: string
  readonly at: string
  readonly data: unknown
  readonly code?: string
  readonly ref?: string | number | undefined
}

/** A message as it goes out, written once, whoever is sent it. */
export class Outgoing {
  readonly id: string | undefined
  /** JSON. */
  readonly text: string

  constructor(message: Message) {
    this.id = message.id
    this.text = JSON.stringify(message)
  }
}

/** WebSocket close codes; an SSE stream just ends. */
export const closings = { signedOut: 4401, tooSlow: 4408, tooMany: 4429, restarting: 1012, failed: 1011 } as const

/** A connection's way out. */
export interface Transport {
  /** Null where it is on its way; else resolves when it is. Rejects or never resolves where the client is gone or does not read. */
  send(frame: Outgoing): Promise<void> | null
  /** Sends if there is room now; what does not fit is dropped (the next one is newer). */
  offer(frame: Outgoing): void
  heartbeat(): void
  close(code: number, reason: string): void
}

export type Who = { readonly accountId: string; readonly sessionId: string }

/**
 * Rows of one type as messages, in their order, under the rules of now; null where there is nothing to tell (any more). Waits until what it reads
 * has reached the rows. All devices of an account are given the same.
 */
export type Hydrate = (rows: readonly JournalRow[], who: Who) => Promise<readonly (Outgoing | null)[]>

/** What a client's work needs of the node. */
export type ClientParts = {
  readonly log: Log
  readonly idOf: (seq: number) => string
  readonly hydrate: Hydrate
  /** Told of every row that was sent, with the time at which work on it began: where traces are made. */
  readonly delivered?: ((row: JournalRow, since: number) => void) | undefined
}

const queueLimit = 1_000
/** Rows of one type that are hydrated together: a post that many like must not cut off its author. */
const togetherMost = 50
const sendTimeout = 30_000

/** One connection: takes rows in order, hydrates and sends them one by one; one that does not keep up is cut off without harm to others. */
export class LiveClient {
  readonly who: Who
  readonly interests = new Set<string>()
  readonly topics = new Set<string>()
  /** The seq behind which it begins: a node whose journal is behind that routes earlier rows yet, which it had elsewhere. */
  after = 0
  readonly #parts: ClientParts
  readonly #transport: Transport
  readonly #gone: (client: LiveClient) => void
  readonly #queue: JournalRow[] = []
  #draining = false
  #closed = false
  #signedOut = false

  constructor(who: Who, transport: Transport, parts: ClientParts, gone: (client: LiveClient) => void) {
    this.who = who
    this.#transport = transport
    this.#parts = parts
    this.#gone = gone
  }

  get closed(): boolean {
    return this.#closed
  }

  /** A row of its interests, in the journal's order. */
  take(row: JournalRow): void {
    if (this.#closed || this.#signedOut || row.seq <= this.after) return
    if (this.#queue.length >= queueLimit) {
      this.close(closings.tooSlow, 'too slow')
      return
    }
    // Whoever is signed out is told nothing else any more.
    if (row.type === 'session.revoked' && isOf(row, this.who)) this.#queue.length = 0
    this.#queue.push(row)
    if (!this.#draining) this.#drain()
  }

  /** Hydrates rows of one type together and sends them one by one. No async function: of somebody famous it is called for thousands at once. */
  tell(...rows: readonly JournalRow[]): Promise<void> {
    const [row] = rows
    if (row?.type === 'session.revoked')
      return isOf(row, this.who) ? this.signOut({ id: this.#parts.idOf(row.seq), at: row.at }) : Promise.resolve()
    const since = this.#parts.delivered === undefined ? 0 : Date.now()
    return this.#parts.hydrate(rows, this.who).then(told => this.#sendAll(rows, told, since))
  }

  #sendAll(rows: readonly JournalRow[], told: readonly (Outgoing | null)[], since: number, from = 0): Promise<void> | undefined {
    for (let at = from; at < rows.length; at++) {
      const message = told[at] ?? null
      if (message === null) continue
      const waiting = this.#signedOut ? null : this.#write(message)
      if (waiting !== null)
        return waiting.then(() => {
          this.#parts.delivered?.(rows[at]!, since)
          return this.#sendAll(rows, told, since, at + 1)
        })
      this.#parts.delivered?.(rows[at]!, since)
    }
    return undefined
  }

  /** Says that the session has ended, and closes. @param told the row that told it; none where the session was found ended, by time or before its row came */
  async signOut(told: { readonly id?: string; readonly at: string } = { at: new Date().toISOString() }): Promise<void> {
    if (this.#signedOut) return
    this.#signedOut = true
    this.#queue.length = 0
    await this.#write(new Outgoing({ ...told, type: 'session.revoked', data: { sessionId: this.who.sessionId } }))
    this.close(closings.signedOut, 'session revoked')
  }

  async send(message: Message): Promise<void> {
    if (!this.#signedOut) await this.#write(new Outgoing(message))
  }

  /** Null where nothing needs to be waited for: so it is for all who read as fast as they are told. */
  #write(message: Outgoing): Promise<void> | null {
    if (this.#closed) return null
    try {
      const sending = this.#transport.send(message)
      return sending === null ? null : this.#inTime(sending)
    } catch {
      this.close(closings.failed, 'failed')
      return null
    }
  }

  async #inTime(sending: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    try {
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new TooSlow()), sendTimeout)
      })
      await Promise.race([sending, late])
    } catch (error) {
      this.close(error instanceof TooSlow ? closings.tooSlow : closings.failed, error instanceof TooSlow ? 'too slow' : 'failed')
    } finally {
      clearTimeout(timer)
    }
  }

  /** A message that was framed once for all: dropped where there is no room. */
  offer(frame: Outgoing): void {
    if (!this.#closed && !this.#signedOut) this.#transport.offer(frame)
  }

  heartbeat(): void {
    if (!this.#closed) this.#transport.heartbeat()
  }

  /** Ends the connection; also called when the other side did. */
  close(code: number, reason: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#queue.length = 0
    this.#gone(this)
    this.#transport.close(code, reason)
  }

  /** Applies what a row changes in this client's interests; says which one came or went. */
  learn(row: JournalRow): { added?: string; removed?: string } {
    const { accountId: author } = row.ids
    if (row.kind !== 'account' || row.key !== this.who.accountId || typeof author !== 'string' || author === this.who.accountId)
      return {}
    const interest = interestOf({ kind: 'followers', key: author })
    if (row.type === 'followed' && !this.interests.has(interest)) {
      this.interests.add(interest)
      return { added: interest }
    }
    return row.type === 'feed.removed' && this.interests.delete(interest) ? { removed: interest } : {}
  }

  /** The rows at the front that are of one type. */
  #together(): JournalRow[] {
    if (this.#queue.length === 1) return this.#queue.splice(0)
    const other = this.#queue.findIndex(
      ({ type }, index) => index >= togetherMost || type !== this.#queue[0]?.type || type === 'session.revoked',
    )
    return this.#queue.splice(0, other === -1 ? this.#queue.length : Math.max(1, other))
  }

  #drain(): void {
    this.#draining = this.#queue.length > 0
    if (!this.#draining) return
    const rows = this.#together()
    this.tell(...rows)
      .then(() => this.#drain())
      .catch(error => {
        // It comes back with its last id and is told what it missed here.
        this.#parts.log.warn({ seq: rows[0]?.seq, type: rows[0]?.type, err: error }, 'a live message could not be made')
        this.close(closings.restarting, 'try again')
      })
  }
}

/** A row of a session's end: of this one, or of all the account's. */
const isOf = ({ ids }: JournalRow, { sessionId }: Who): boolean => ids.sessionId === null || ids.sessionId === sessionId

class TooSlow extends Error {}
