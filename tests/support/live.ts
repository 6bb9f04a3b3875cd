import { once } from 'node:events'
import { vi } from 'vitest'
import WebSocket from 'ws'
import type { Person, TestApp } from './app.ts'

// biome-ignore lint/suspicious/noExplicitAny: messages are looked at as they come, by what each test expects of them
type Loose = any

export type Message = {
  readonly id?: string
  readonly type: string
  readonly at: string
  readonly data: Loose
  readonly ref?: unknown
}

/** A WebSocket that keeps what it gets. */
export class Listener {
  readonly messages: Message[] = []
  readonly socket: WebSocket
  closed: { code: number; reason: string } | null = null

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', bytes => this.messages.push(JSON.parse(String(bytes))))
    socket.on('close', (code, reason) => {
      this.closed = { code, reason: String(reason) }
    })
  }

  get lastEventId(): string | undefined {
    return this.messages.findLast(({ id }) => id !== undefined)?.id
  }

  of(type: string): Message[] {
    return this.messages.filter(message => message.type === type)
  }

  /** Waits for the n-th message of a type. */
  async next(type: string, n = 1): Promise<Message> {
    return vi.waitFor(
      () => {
        const message = this.of(type)[n - 1]
        if (message === undefined)
          throw new Error(`no ${type} number ${n} among: ${this.messages.map(({ type }) => type).join(', ') || 'nothing'}`)
        return message
      },
      { timeout: 10_000, interval: 10 },
    )
  }

  async closing(): Promise<{ code: number; reason: string }> {
    return vi.waitFor(
      () => {
        if (this.closed === null) throw new Error('still open')
        return this.closed
      },
      { timeout: 10_000, interval: 10 },
    )
  }

  say(frame: unknown): void {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
  }

  end(): void {
    this.socket.terminate()
  }
}

/** Opens a WebSocket; resolves when it is open and the hub has it (a frame is answered). */
export async function listenLive(app: TestApp, who: Person | { ticket: string }, lastEventId?: string): Promise<Listener> {
  const { port } = await app.listen()
  const query = new URLSearchParams({
    ...('ticket' in who ? { ticket: who.ticket } : {}),
    ...(lastEventId === undefined ? {} : { lastEventId }),
  })
  const headers = 'ticket' in who ? {} : { Authorization: `Bearer ${who.session.accessToken}` }
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/live?${query}`, { headers })
  const listener = new Listener(socket)
  await once(socket, 'open')
  listener.say({ type: 'unsubscribe', topic: 'post:none', ref: 'here' })
  await listener.next('ack')
  return listener
}

/** The status with which a handshake is refused. */
export async function refusedHandshake(
  app: TestApp,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: Loose }> {
  const { port } = await app.listen()
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers })
  const [, response] = await once(socket, 'unexpected-response')
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  return { status: response.statusCode, body: JSON.parse(Buffer.concat(chunks).toString()) }
}

/** An SSE stream's events, as they come. */
export async function listenStream(app: TestApp, path: string, headers: Record<string, string> = {}) {
  const { port } = await app.listen()
  const ending = new AbortController()
  const response = await fetch(`http://127.0.0.1:${port}/v1/live/events${path}`, { headers, signal: ending.signal })
  let text = ''
  let done = false
  const reading = (async () => {
    const decoder = new TextDecoder()
    try {
      for await (const chunk of response.body ?? []) text += decoder.decode(chunk, { stream: true })
    } catch {
      // Ended from here.
    }
    done = true
  })()
  return {
    response,
    text: () => text,
    ended: () => done,
    /** Whole messages by their `data:`. */
    messages: (): Message[] =>
      text.split('\n\n').flatMap(block =>
        block
          .split('\n')
          .filter(line => line.startsWith('data: '))
          .map(line => JSON.parse(line.slice(6))),
      ),
    /** The last `id:`, as a browser would send it back. */
    lastEventId: (): string | undefined => [...text.matchAll(/^id: (.+)$/gm)].at(-1)?.[1],
    async end() {
      ending.abort()
      await reading
    },
  }
}
