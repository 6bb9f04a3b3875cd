import { once } from 'node:events'
import { connect as open, type Socket } from 'node:net'

/** What goes out, encoded before anything is measured. */
export type Sent = {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

/** The bytes of a request of HTTP/1.1. */
export function encoded(url: string, { method, path, headers, body }: Sent): Buffer {
  const bytes = Buffer.from(body ?? '')
  const length = body === undefined ? {} : { 'Content-Length': String(bytes.length) }
  const fields = Object.entries({ Host: new URL(url).host, ...headers, ...length }).map(([name, value]) => `${name}: ${value}`)
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n`), bytes])
}

/** Told of each answer: its status, and the bytes of its body. */
export type Answered = (status: number, bytes: number) => void

const received = 128 * 1024
const headEnd = Buffer.from('\r\n\r\n')

/**
 * A connection that is kept alive, with one request in flight. The load generator shares its cores with what it measures, and `node:http` costs more than
 * many an answer: here nothing is made a request, bodies are counted and not kept. It knows what servers send that answer such requests: a length or
 * chunks, no trailers, no HEAD.
 */
export class Connection {
  readonly #socket: Socket
  readonly #buffer = Buffer.allocUnsafe(received)
  readonly #failed: (error: Error) => void
  #answered: Answered | null = null
  #closing = false
  /** Of the answer that is under way: what is known of its head, and what of its body is still to come. */
  #head = Buffer.alloc(0)
  #status = 0
  #bytes = 0
  #left = 0
  #chunks: Chunks | null = null

  private constructor(url: string, failed: (error: Error) => void) {
    const { hostname, port } = new URL(url)
    const onread = { buffer: this.#buffer, callback: (length: number): boolean => this.#take(length) }
    this.#socket = open({ host: hostname, port: Number(port), noDelay: true, onread })
    this.#failed = failed
  }

  /** @param failed told once of what breaks afterwards */
  static async open(url: string, failed: (error: Error) => void): Promise<Connection> {
    const connection = new Connection(url, failed)
    const socket = connection.#socket
    await once(socket, 'connect')
    socket.on('error', error => connection.#fail(error))
    socket.on('close', () => connection.#fail(new Error('the server closed a connection')))
    return connection
  }

  /** Sends a request; `answered` is called when all of its answer is here. */
  send(request: Buffer, answered: Answered): void {
    this.#answered = answered
    this.#socket.write(request)
  }

  close(): void {
    this.#closing = true
    this.#socket.destroy()
  }

  #fail(error: Error): void {
    if (this.#closing) return
    this.close()
    this.#failed(error)
  }

  #take(length: number): boolean {
    try {
      for (let at = 0; at < length; ) at = this.#status === 0 ? this.#readHead(at, length) : this.#readBody(at, length)
    } catch (error) {
      this.#fail(error as Error)
    }
    return true
  }

  /** Reads to the end of the head, or keeps what came of it. Answers how far it read. */
  #readHead(from: number, to: number): number {
    if (this.#answered === null) throw new Error('bytes that nobody asked for')
    const fresh = this.#buffer.subarray(from, to)
    const known = this.#head.length
    const head = known === 0 ? fresh : Buffer.concat([this.#head, fresh])
    const end = head.indexOf(headEnd)
    if (end === -1) {
      this.#head = Buffer.from(head)
      return to
    }
    const text = head.toString('latin1', 0, end)
    this.#status = Number(text.slice(9, 12))
    const length = /\r\ncontent-length: *(\d+)/i.exec(text)
    if (length !== null) this.#left = Number(length[1])
    else if (/\r\ntransfer-encoding: *chunked/i.test(text)) this.#chunks = new Chunks()
    else if (this.#status !== 204 && this.#status !== 304) throw new Error(`an answer without a length: ${text}`)
    if (known > 0) this.#head = Buffer.alloc(0)
    this.#finish()
    return from + end + headEnd.length - known
  }

  #readBody(from: number, to: number): number {
    if (this.#chunks !== null) {
      const until = this.#chunks.read(this.#buffer, from, to)
      this.#finish()
      return until
    }
    const until = Math.min(to, from + this.#left)
    this.#bytes += until - from
    this.#left -= until - from
    this.#finish()
    return until
  }

  /** Where all of the answer is here, tells of it; the next request may go out at once. */
  #finish(): void {
    if (this.#chunks === null ? this.#left > 0 : !this.#chunks.done) return
    const answered = this.#answered
    const status = this.#status
    const bytes = this.#chunks?.bytes ?? this.#bytes
    this.#answered = null
    this.#status = 0
    this.#bytes = 0
    this.#chunks = null
    answered?.(status, bytes)
  }
}

const [cr, lf] = [13, 10]

/** A body in chunks, as it comes. */
class Chunks {
  bytes = 0
  done = false
  #size = ''
  #left = 0
  #last = false
  /** What comes next: a size, so many bytes, or the end of their line. */
  #state: 'size' | 'data' | 'end' = 'size'

  /** Reads on, up to the body's end. Answers how far. */
  read(buffer: Buffer, from: number, to: number): number {
    let at = from
    while (at < to && !this.done) {
      if (this.#state === 'data') {
        const until = Math.min(to, at + this.#left)
        this.bytes += until - at
        this.#left -= until - at
        at = until
        if (this.#left === 0) this.#state = 'end'
        continue
      }
      const byte = buffer[at++]!
      if (byte !== lf) {
        if (this.#state === 'size' && byte !== cr) this.#size += String.fromCharCode(byte)
      } else if (this.#state === 'end') {
        this.#state = 'size'
        this.done = this.#last
      } else {
        this.#left = Number.parseInt(this.#size, 16)
        if (Number.isNaN(this.#left)) throw new Error(`no size of a chunk: ${this.#size}`)
        this.#last = this.#left === 0
        this.#state = this.#last ? 'end' : 'data'
        this.#size = ''
      }
    }
    return at
  }
}
