import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import pg from 'pg'

/** What `pg` gives a query that copies, beyond its types. */
type Copying = {
  readonly stream: Duplex
  sendCopyFromChunk(chunk: Buffer): void
  endCopyFrom(): void
  sendCopyFail(why: string): void
}

class CopyIn extends pg.Query {
  readonly #chunks: AsyncIterable<string>

  constructor(statement: string, chunks: AsyncIterable<string>, done: (error: Error | undefined) => void) {
    super(statement, done)
    this.#chunks = chunks
  }

  /** Called by `pg` when the server is ready for the rows. */
  handleCopyInResponse(connection: Copying): void {
    this.#send(connection).catch((error: unknown) => connection.sendCopyFail(String(error)))
  }

  async #send(connection: Copying): Promise<void> {
    for await (const chunk of this.#chunks) {
      connection.sendCopyFromChunk(Buffer.from(chunk))
      if (connection.stream.writableNeedDrain) await once(connection.stream, 'drain')
    }
    connection.endCopyFrom()
  }
}

/**
 * Runs `copy … from stdin`: the fastest way in for very many rows.
 * @param chunks whole rows in COPY's text format, each made by `copyRow`
 */
export const copyIn = (client: pg.ClientBase, statement: string, chunks: AsyncIterable<string>): Promise<void> =>
  new Promise((resolve, reject) => {
    client.query(new CopyIn(statement, chunks, error => (error ? reject(error) : resolve())))
  })

const special = /[\\\n\r\t]/g
const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** One row in COPY's text format. */
export const copyRow = (values: readonly (string | number)[]): string =>
  `${values.map(value => (typeof value === 'number' ? value : value.replace(special, found => escapes[found]!))).join('\t')}\n`
