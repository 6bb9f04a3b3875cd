import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import * as v from 'valibot'
import { type WebSocket, WebSocketServer } from 'ws'
import { problemBody } from '../http/problems.ts'
import type { Log } from '../ports/log.ts'
import { Problem } from '../problem.ts'
import { closings, type LiveClient, Outgoing, type Transport, type Who } from './client.ts'
import type { Hub } from './hub.ts'
import { topicsPerClient } from './topics.ts'

const path = '/v1/live'
const frameBytes = 16 * 1024
/** Frames that a client may send within ten seconds. */
const framesPerWindow = 200
const windowMs = 10_000
/** Bytes that may wait in a socket before a topic's frame is left out. */
const roomFor = 256 * 1024

const ref = v.optional(v.union([v.pipe(v.string(), v.maxLength(100)), v.number()]))
const Frame = v.variant('type', [
  v.strictObject({ type: v.literal('subscribe'), topic: v.pipe(v.string(), v.maxLength(100)), ref }),
  v.strictObject({ type: v.literal('unsubscribe'), topic: v.pipe(v.string(), v.maxLength(100)), ref }),
])

export type Upgrade = {
  readonly hub: Hub
  readonly log: Log
  /** Who shows it with these. @throws Problem 401, 429 */
  readonly authenticate: (shown: {
    authorization: string | undefined
    ticket: string | null
    request: IncomingMessage
  }) => Promise<Who>
}

/** The one `upgrade` listener: WebSockets at /v1/live, anything else is refused as HTTP. Returns how to end. */
export function acceptWebSockets(server: Server, { hub, log, authenticate }: Upgrade): () => void {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: frameBytes, clientTracking: false })
  sockets.on('wsClientError', ({ message }, socket) => refuse(socket, new Problem('malformed', `${message}.`)))

  const upgrade = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    // Until ws has it, a socket that breaks must not take the process with it.
    const broken = (error: Error): void => log.debug({ error: String(error) }, 'a socket broke before its handshake')
    socket.on('error', broken)
    try {
      const url = URL.parse(request.url ?? '', 'http://localhost')
      if (url?.pathname !== path) throw new Problem('not_found', 'There is no WebSocket here.')
      const lastEventId = url.searchParams.get('lastEventId')
      const who = await authenticate({
        authorization: request.headers.authorization,
        ticket: url.searchParams.get('ticket'),
        request,
      })
      if (socket.destroyed) return
      sockets.handleUpgrade(request, socket, head, ws => {
        socket.off('error', broken)
        serve(ws, socket, hub, who, lastEventId, log).catch(error => {
          log.error({ err: error }, 'a WebSocket failed')
          ws.terminate()
        })
      })
    } catch (error) {
      if (!(error instanceof Problem)) log.error({ err: error }, 'a WebSocket could not be taken')
      refuse(
        socket,
        error instanceof Problem ? error : new Problem('internal', 'This is a fault of the server. It has been logged.'),
      )
    }
  }

  const listener = (request: IncomingMessage, socket: Duplex, head: Buffer): void => void upgrade(request, socket, head)
  server.on('upgrade', listener)
  return () => {
    server.off('upgrade', listener)
    sockets.close()
  }
}

function refuse(socket: Duplex, problem: Problem): void {
  const body = JSON.stringify(problemBody(problem))
  const headers = {
    'Content-Type': 'application/problem+json',
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
    ...(problem.status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {}),
    ...problem.headers,
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  // Nobody reads it any more: a client that leaves its side open must not keep ours.
  socket.once('finish', () => socket.destroy())
  socket.end(`HTTP/1.1 ${problem.status} ${problem.title}\r\n${lines.join('\r\n')}\r\n\r\n${body}`)
}

/** Of messages that several clients are sent, the frame: made once. */
const framed = new WeakMap<Outgoing, Buffer>()

/** A message as one final text frame, unmasked, as a server's are (RFC 6455, section 5.2). */
function frameOf(message: Outgoing): Buffer {
  let frame = framed.get(message)
  if (frame === undefined) {
    const length = Buffer.byteLength(message.text)
    const head = length < 126 ? 2 : length < 65_536 ? 4 : 10
    frame = Buffer.allocUnsafe(head + length)
    frame[0] = 0x81
    frame[1] = head === 2 ? length : head === 4 ? 126 : 127
    if (head === 4) frame.writeUInt16BE(length, 2)
    else if (head === 10) frame.writeBigUInt64BE(BigInt(length), 2)
    frame.write(message.text, head)
    framed.set(message, frame)
  }
  return frame
}

/**
 * Serves a client. Messages are written to the socket itself, framed once for all who are sent them: `ws`, which reads and writes all else there, would frame each
 * for each client and write it in two parts. It writes whole frames too, so that none stands within another.
 */
async function serve(ws: WebSocket, socket: Duplex, hub: Hub, who: Who, lastEventId: string | null, log: Log): Promise<void> {
  let answered = true
  const transport: Transport = {
    send(message) {
      if (ws.readyState !== ws.OPEN) return null
      let sent = (_: Error | null | undefined): void => {}
      socket.write(frameOf(message), error => sent(error))
      // The system has all of it already: most clients read as fast as they are told.
      if (socket.writableLength === 0) return null
      return new Promise((resolve, reject) => {
        sent = error => (error ? reject(error) : resolve())
      })
    },
    offer(message) {
      if (ws.readyState === ws.OPEN && socket.writableLength < roomFor) socket.write(frameOf(message))
    },
    heartbeat() {
      if (!answered) ws.terminate()
      answered = false
      if (ws.readyState === ws.OPEN) ws.ping()
    },
    close(code, reason) {
      ws.close(code, reason)
      // One that does not answer the closing is cut off.
      setTimeout(() => ws.terminate(), 5_000).unref()
    },
  }
  let client: LiveClient | null = null
  let frames = 0
  let windowEnds = 0
  const early: string[] = []
  let work = Promise.resolve()

  ws.on('pong', () => {
    answered = true
  })
  ws.on('error', error => log.debug({ error: String(error) }, 'a WebSocket broke'))
  ws.on('close', () => client?.close(1000, 'closed'))
  ws.on('message', (bytes, isBinary) => {
    const now = performance.now()
    if (now > windowEnds) {
      windowEnds = now + windowMs
      frames = 0
    }
    // Also those that wait while it is brought up to now, which may take longer than a window.
    if (++frames > framesPerWindow || early.length >= framesPerWindow) {
      ws.close(closings.tooMany, 'too many frames')
      return
    }
    const text = isBinary ? '' : bytes.toString()
    if (client === null) early.push(text)
    else take(client, text)
  })
  // One after the other, so that answers come in the order of their frames.
  const take = (to: LiveClient, text: string): void => {
    work = work
      .then(() => answer(to, hub, text, transport))
      .catch(error => {
        log.warn({ err: error }, 'a client frame failed')
        to.close(closings.restarting, 'try again')
      })
  }
  client = await hub.connect(who, transport, lastEventId)
  if (ws.readyState !== ws.OPEN) client.close(1000, 'closed')
  for (const text of early.splice(0)) take(client, text)
}

async function answer(client: LiveClient, hub: Hub, text: string, transport: Transport): Promise<void> {
  if (client.closed) return
  let sent: unknown
  try {
    sent = JSON.parse(text)
  } catch {
    transport.offer(errorFrame('malformed', undefined))
    return
  }
  const parsed = v.safeParse(Frame, sent)
  if (!parsed.success) {
    const given = v.safeParse(v.looseObject({ ref }), sent)
    transport.offer(errorFrame('validation_failed', given.success ? given.output.ref : undefined))
    return
  }
  const frame = parsed.output
  if (frame.type === 'unsubscribe') {
    hub.topics.drop(client, frame.topic)
    transport.offer(ackFrame(frame.ref))
  } else if (!client.topics.has(frame.topic) && client.topics.size >= topicsPerClient)
    transport.offer(errorFrame('too_many_topics', frame.ref))
  else if (await hub.topics.join(client, frame.topic)) transport.offer(ackFrame(frame.ref))
  else transport.offer(errorFrame('not_found', frame.ref))
}

const now = (): string => new Date().toISOString()
const ackFrame = (ref: string | number | undefined): Outgoing => new Outgoing({ type: 'ack', at: now(), data: {}, ref })
const errorFrame = (code: string, ref: string | number | undefined): Outgoing =>
  new Outgoing({ type: 'error', at: now(), data: { code }, code, ref })
