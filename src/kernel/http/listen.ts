import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { getRequestListener, RequestError } from '@hono/node-server'
import type { Logger } from 'pino'
import { Problem } from '../problem.ts'
import { StartupError } from '../startup-error.ts'
import type { HttpEnv } from './env.ts'
import { loggable, problemBody, problemResponse } from './problems.ts'

export type Listening = {
  /** Node's server, for the listener of `upgrade`. */
  readonly server: Server
  readonly host: string
  /** The port that was taken, also where 0 was asked for. */
  readonly port: number
  /** Takes no more connections, ends idle ones, waits for running requests, and after `graceMs` cuts off all that is left, upgraded sockets too. */
  close(graceMs: number): Promise<void>
}

/** Milliseconds. A body may take ten minutes: photos and videos come from phones on slow networks. Keep-alive outlives that of load balancers (60 s). */
const timeouts = { headersTimeout: 15_000, requestTimeout: 600_000, keepAliveTimeout: 65_000, connectionsCheckingInterval: 5_000 }

/**
 * Serves the app over HTTP/1.1.
 * @throws StartupError where the address cannot be taken
 */
export async function listen(options: {
  fetch: (request: Request, env: HttpEnv['Bindings']) => Response | Promise<Response>
  host: string
  port: number
  log: Logger
}): Promise<Listening> {
  const { log } = options
  const handle = getRequestListener((request, env) => options.fetch(request, env as HttpEnv['Bindings']), {
    // It would cut the connection half a second after an answer to a body that nobody wanted, in the middle of a phone's upload, which then
    // never learns that its token has expired. Node itself reads such a body away, for as long as a request may take.
    autoCleanupIncoming: false,
    errorHandler(error) {
      if (error instanceof RequestError)
        return problemResponse(new Problem('malformed', 'The address or the Host of the request is not valid.'))
      log.error({ err: loggable(error) }, 'a request failed outside the app')
      return problemResponse(new Problem('internal', 'This is a fault of the server. It has been logged.'))
    },
  })
  const sockets = new Set<Socket>()
  const answering = new Set<ServerResponse>()
  let closing = false
  // Whoever offers HTTP/2 (`Upgrade: h2c`, as some clients do with every request) is answered in HTTP/1.1, as the offer allows.
  const shouldUpgradeCallback = ({ headers }: IncomingMessage): boolean =>
    server.listenerCount('upgrade') > 0 && headers.upgrade?.toLowerCase() === 'websocket'
  // Node itself would refuse a missing Host, without a problem.
  const http = { ...timeouts, maxHeaderSize: 16 * 1024, requireHostHeader: false, shouldUpgradeCallback }
  const server: Server = createServer(http, (request, response) => {
    answering.add(response)
    response.once('close', () => {
      answering.delete(response)
      if (closing) server.closeIdleConnections()
    })
    if (closing) response.setHeader('Connection', 'close')
    handle(request, response).catch((error: unknown) => {
      log.error({ err: loggable(error) }, 'an answer failed')
      response.destroy()
    })
  })
  server.on('connection', socket => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('clientError', (error: Error & { code?: string }, socket) => {
    const begun = [...answering].some(response => response.socket === socket && response.headersSent)
    refuseClient(error.code, socket, begun)
  })
  await bind(server, options.host, options.port)
  server.on('error', error => log.error({ err: loggable(error) }, 'the server failed'))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : options.port

  async function close(graceMs: number): Promise<void> {
    closing = true
    for (const response of answering) if (!response.headersSent) response.setHeader('Connection', 'close')
    await new Promise<void>((resolve, reject) => {
      const cut = setTimeout(() => {
        for (const socket of sockets) socket.destroy()
      }, graceMs)
      server.close(error => {
        clearTimeout(cut)
        if (error === undefined) resolve()
        else reject(error)
      })
      server.closeIdleConnections()
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy() // opened ahead, as browsers do
    })
  }
  let closed: Promise<void> | undefined
  return { server, host: options.host, port, close: graceMs => (closed ??= close(graceMs)) }
}

/** What is no HTTP gets a problem too, and the connection ends; on a connection that is already gone or answering there is nothing to say. */
function refuseClient(code: string | undefined, socket: Duplex, begun: boolean): void {
  if (code === 'ECONNRESET' || !socket.writable || begun) {
    socket.destroy()
    return
  }
  const problem =
    code === 'HPE_HEADER_OVERFLOW'
      ? new Problem('headers_too_large', 'The headers must not be larger than 16 KiB.')
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? new Problem('request_timeout', 'The request did not arrive in time.')
        : new Problem('malformed', 'This is not a request of HTTP/1.1.')
  const body = JSON.stringify(problemBody(problem))
  const head = [
    `HTTP/1.1 ${problem.status} ${problem.title}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

async function bind(server: Server, host: string, port: number): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, () => {
        server.off('error', reject)
        resolve()
      })
    })
  } catch (cause) {
    throw startupError(cause, host, port)
  }
}

function startupError(cause: unknown, host: string, port: number): unknown {
  switch (cause instanceof Error && 'code' in cause ? cause.code : undefined) {
    case 'EADDRINUSE':
      return new StartupError(`Port ${port} on ${host} is in use: stop what listens there, or set PORT to another one.`, {
        cause,
      })
    case 'EACCES':
      return new StartupError(`This user may not listen on port ${port} of ${host}: set PORT to 1024 or above.`, { cause })
    case 'EADDRNOTAVAIL':
      return new StartupError(`HOST ${host} is no address of this machine: set HOST to one that is, as 127.0.0.1 or 0.0.0.0.`, {
        cause,
      })
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new StartupError(
        `HOST ${host} cannot be resolved: set HOST to an address of this machine, as 127.0.0.1 or 0.0.0.0.`,
        { cause },
      )
    default:
      return cause
  }
}
