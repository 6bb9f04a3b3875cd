import pg from 'pg'

type Line = { readonly client: pg.Client; waiting: number }

/**
 * A few connections on which statements follow each other without waiting for answers, each a transaction of its own. What one turn of the event loop
 * asks goes out in one write, and Postgres wakes once for it: half of the work of a connection for each statement at both ends (measured). An answer
 * waits for those before it on its connection, so only what is quick may go here, and nothing that takes a lock.
 */
export class Pipeline {
  readonly #config: pg.ClientConfig
  readonly #onError: (error: Error) => void
  readonly #lines: (Line | null)[]
  readonly #open = new Set<pg.Client>()
  readonly #corked = new Set<pg.Client>()
  #closed = false

  /** @param most connections; each is opened when it is needed, and again where it broke */
  constructor(config: pg.ClientConfig, most: number, onError: (error: Error) => void) {
    this.#config = config
    this.#onError = onError
    this.#lines = Array.from({ length: most }, () => null)
  }

  query<Row extends pg.QueryResultRow>(config: pg.QueryConfig): Promise<pg.QueryResult<Row>>
  query<Row extends unknown[]>(config: pg.QueryArrayConfig): Promise<pg.QueryArrayResult<Row>>
  async query(config: pg.QueryConfig): Promise<pg.QueryResult | pg.QueryArrayResult> {
    if (this.#closed) throw new Error('the connections to the database are ended')
    const line = this.#least()
    this.#cork(line.client)
    line.waiting++
    try {
      return await line.client.query(config)
    } finally {
      line.waiting--
    }
  }

  /** Ends the connections after what is under way. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#open].map(client => client.end()))
  }

  /** The connection with the fewest that wait; a new one while fewer are open than may be and all are busy. */
  #least(): Line {
    let least: Line | null = null
    let free = -1
    for (const [index, line] of this.#lines.entries()) {
      if (line === null) free = free === -1 ? index : free
      else if (least === null || line.waiting < least.waiting) least = line
    }
    return least === null || (least.waiting > 0 && free !== -1) ? this.#connect(free) : least
  }

  #connect(index: number): Line {
    const client = new pg.Client({ ...this.#config, pipeline: true })
    const line = { client, waiting: 0 }
    const gone = (): void => {
      this.#open.delete(client)
      if (this.#lines[index] === line) this.#lines[index] = null
    }
    this.#lines[index] = line
    this.#open.add(client)
    client.on('end', gone)
    // Who waits on it is told too, by their own queries.
    client.on('error', error => {
      gone()
      this.#onError(error)
    })
    client.connect().catch((error: unknown) => {
      gone()
      this.#onError(error as Error)
    })
    return line
  }

  #cork(client: pg.Client): void {
    if (this.#corked.has(client)) return
    const { stream } = client.connection
    this.#corked.add(client)
    stream.cork()
    setImmediate(() => {
      this.#corked.delete(client)
      stream.uncork()
    })
  }
}
