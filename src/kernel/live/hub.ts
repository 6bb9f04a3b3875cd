import type { Bus } from '../ports/bus.ts'
import type { Log } from '../ports/log.ts'
import { closings, type Hydrate, LiveClient, type Message, type Transport, type Who } from './client.ts'
import { interestOf, type Journal, type JournalRow, messageId, topicsIn, topicsSubject } from './journal.ts'
import { Tail } from './tail.ts'
import { Topics } from './topics.ts'

export type HubParts = {
  readonly journal: Journal
  readonly liveEpoch: string
  readonly bus: Bus
  readonly log: Log
  /** The authors whose followers the account is one of, as of a position of the log. */
  readonly followees: (accountId: string, position: number) => Promise<readonly string[]>
  readonly hydrate: Hydrate
  /** The state of a topic as a message's type and data, and who of the viewers may have it; null where it is gone. */
  readonly topic: (
    topic: string,
    viewers: readonly string[],
  ) => Promise<{ type: string; data: unknown; allowed: ReadonlySet<string> } | null>
  /** Whether the session is still open, as of a position of the log: asked when it connects and at heartbeats. */
  readonly open: (who: Who, position: number) => Promise<boolean>
  /** Told of every row that was sent to a client: where traces are made. */
  readonly delivered?: ((row: JournalRow, since: number) => void) | undefined
  readonly clientsPerAccount: number
  readonly heartbeatMs: number
}

const replayAtOnce = 500

/** All live connections of a node: routes the journal's rows by interest, brings newcomers up to it, and keeps topics. */
export class Hub {
  readonly topics: Topics
  readonly #parts: HubParts
  readonly #tail: Tail
  readonly #byInterest = new Map<string, Set<LiveClient>>()
  readonly #byAccount = new Map<string, Set<LiveClient>>()
  readonly #unsubscribe: () => void
  #interval: NodeJS.Timeout | undefined
  #stopping = false

  constructor(parts: HubParts) {
    this.#parts = parts
    this.#tail = new Tail(
      parts.journal,
      parts.bus,
      parts.log,
      row => this.#route(row),
      () => this.#closeAll(),
    )
    this.topics = new Topics(parts.topic, parts.log)
    this.#unsubscribe = parts.bus.subscribe(topicsSubject, message => this.topics.changed(topicsIn(message)))
  }

  /** How many connections there are. */
  get size(): number {
    let size = 0
    for (const clients of this.#byAccount.values()) size += clients.size
    return size
  }

  /** How many rows of the journal this node has not routed yet. */
  async behind(): Promise<number> {
    const { seq } = await this.#parts.journal.head()
    return Math.max(0, seq - this.#tail.seq)
  }

  /** The id behind which a client that connects now would begin. */
  get lastEventId(): string {
    return this.#idOf(this.#tail.seq)
  }

  async start(): Promise<void> {
    await this.#tail.start()
    this.#interval = setInterval(() => this.#beat(), this.#parts.heartbeatMs)
    this.#interval.unref()
  }

  /** Tells every client that the node restarts. */
  async stop(): Promise<void> {
    this.#stopping = true
    clearInterval(this.#interval)
    this.#unsubscribe()
    this.#closeAll()
    await this.#tail.stop()
    await this.topics.close()
  }

  #closeAll(): void {
    for (const clients of [...this.#byAccount.values()])
      for (const client of [...clients]) client.close(closings.restarting, 'restarting')
  }

  /** Whether the account has as many connections as it may. */
  full(accountId: string): boolean {
    return (this.#byAccount.get(accountId)?.size ?? 0) >= this.#parts.clientsPerAccount
  }

  /**
   * Takes a connection over. It gets what it missed behind `lastEventId`, then everything new; without an id it starts at now; where the id is
   * unknown or too old its first message is `resync`. Resolves when it is live or gone.
   */
  async connect(who: Who, transport: Transport, lastEventId: string | null): Promise<LiveClient> {
    const { log, hydrate, delivered, journal, followees } = this.#parts
    const client = new LiveClient(who, transport, { log, hydrate, delivered, idOf: seq => this.#idOf(seq) }, gone =>
      this.#forget(gone),
    )
    if (this.#stopping) {
      client.close(closings.restarting, 'restarting')
      return client
    }
    if (this.full(who.accountId)) {
      client.close(closings.tooMany, 'too many connections')
      return client
    }
    const mine = this.#byAccount.get(who.accountId) ?? new Set()
    this.#byAccount.set(who.accountId, mine.add(client))
    try {
      let from = await this.#startOf(client, lastEventId)
      for (const interest of await this.#interestsOf(who, this.#tail.position, followees)) client.interests.add(interest)
      // It may have ended since it was shown, in a row that lies before the first one that is told.
      if (!(await this.#parts.open(who, this.#tail.position))) await client.signOut()
      while (from < this.#tail.seq && !client.closed) {
        const until = this.#tail.seq
        const rows = await journal.ofInterests(from, until, [...client.interests], replayAtOnce)
        from = rows.length === replayAtOnce ? rows.at(-1)!.seq : until
        for (const row of rows) {
          await client.tell(row)
          if (client.learn(row).added !== undefined) {
            // From here on the rows of one more author count.
            from = row.seq
            break
          }
        }
      }
      // Nothing was awaited since the last look at the tail: the next row that is routed continues what was told.
      client.after = from
      if (!client.closed) for (const interest of client.interests) this.#add(interest, client)
    } catch (error) {
      log.warn({ err: error }, 'a live connection could not be brought up to now')
      client.close(closings.restarting, 'try again')
    }
    return client
  }

  async #interestsOf({ accountId }: Who, position: number, followees: HubParts['followees']): Promise<string[]> {
    const authors = await followees(accountId, position)
    return [
      interestOf({ kind: 'account', key: accountId }),
      ...[accountId, ...authors].map(key => interestOf({ kind: 'followers', key })),
    ]
  }

  /** The seq behind which the client begins. */
  async #startOf(client: LiveClient, lastEventId: string | null): Promise<number> {
    if (lastEventId === null) return this.#tail.seq
    const seq = this.#seqOf(lastEventId)
    const { seq: head, oldest } = await this.#parts.journal.head()
    if (seq !== null && seq <= head && (seq === head || (oldest !== null && seq >= oldest - 1))) return seq
    const now = this.#tail.seq
    await client.send({ id: this.#idOf(now), type: 'resync', at: new Date().toISOString(), data: {} } satisfies Message)
    return now
  }

  #idOf(seq: number): string {
    return messageId(this.#parts.liveEpoch, seq)
  }

  #seqOf(id: string): number | null {
    const [, epoch, seq] = /^([0-9a-f]{8})-(\d{1,15})$/.exec(id) ?? []
    return epoch === this.#parts.liveEpoch && seq !== undefined ? Number(seq) : null
  }

  #route(row: JournalRow): void {
    for (const client of [...(this.#byInterest.get(interestOf(row)) ?? [])]) {
      const { added, removed } = client.learn(row)
      if (added !== undefined) this.#add(added, client)
      if (removed !== undefined) this.#remove(removed, client)
      client.take(row)
    }
  }

  #add(interest: string, client: LiveClient): void {
    const clients = this.#byInterest.get(interest) ?? new Set()
    this.#byInterest.set(interest, clients.add(client))
  }

  #remove(interest: string, client: LiveClient): void {
    const clients = this.#byInterest.get(interest)
    clients?.delete(client)
    if (clients?.size === 0) this.#byInterest.delete(interest)
  }

  #forget(client: LiveClient): void {
    for (const interest of client.interests) this.#remove(interest, client)
    this.topics.leave(client)
    const { accountId } = client.who
    const mine = this.#byAccount.get(accountId)
    mine?.delete(client)
    if (mine?.size === 0) this.#byAccount.delete(accountId)
  }

  /** A session may end by time alone, which no row tells. */
  #beat(): void {
    for (const clients of this.#byAccount.values()) {
      for (const client of clients) {
        client.heartbeat()
        this.#parts.open(client.who, this.#tail.position).then(
          open => (open ? undefined : client.signOut()),
          error => this.#parts.log.warn({ error: String(error) }, 'a session could not be checked'),
        )
      }
    }
  }
}
