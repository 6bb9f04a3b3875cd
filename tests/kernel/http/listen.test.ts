import { once } from 'node:events'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import pino from 'pino'
import * as v from 'valibot'
import { afterEach, describe, expect, it } from 'vitest'
import { httpApp } from '../../../src/kernel/http/app.ts'
import { type Listening, listen } from '../../../src/kernel/http/listen.ts'
import { body } from '../../../src/kernel/http/validate.ts'
import { StartupError } from '../../../src/kernel/startup-error.ts'

const log = pino({ level: 'silent' })
const host = '127.0.0.1'
const running: Listening[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map(server => server.close(0)))
})

/** Resolved when a request has come in to /slow; `finish` lets it answer. */
const gate = () => {
  const arrived = Promise.withResolvers<void>()
  const finish = Promise.withResolvers<void>()
  return { arrived, finish }
}

async function start(port = 0) {
  const app = httpApp({ log, publicUrl: 'http://x', corsOrigins: [], trustedProxies: [], rateLimit: false, classify: () => null })
  const slow = gate()
  app.get('/fast', c => c.text('fast'))
  app.get('/slow', async c => {
    slow.arrived.resolve()
    await slow.finish.promise
    return c.text('slow')
  })
  app.get(
    '/stream',
    () => new Response(new ReadableStream({ start: controller => controller.enqueue(new TextEncoder().encode('first')) })),
  )
  app.post('/json', body(v.strictObject({ a: v.optional(v.string()) })), c => c.json(c.var.body))
  const server = await listen({ fetch: app.fetch, host, port, log })
  running.push(server)
  return { server, slow, origin: `http://${host}:${server.port}` }
}

/** Sends bytes as they are, and gives all that comes until the connection ends. */
async function raw(port: number, bytes: string | Uint8Array): Promise<string> {
  const socket = connect(port, host)
  let answer = ''
  socket.on('data', chunk => {
    answer += chunk.toString()
  })
  socket.on('error', () => {}) // a reset ends it just as well
  socket.write(bytes)
  await once(socket, 'close')
  return answer
}

const get = (port: number, path: string, agent: Agent) =>
  new Promise<{ response: IncomingMessage; text: string }>((resolve, reject) => {
    httpRequest({ host, port, path, agent }, response => {
      let text = ''
      response.on('data', chunk => {
        text += String(chunk)
      })
      response.on('end', () => resolve({ response, text }))
      response.on('error', reject)
    })
      .on('error', reject)
      .end()
  })

describe('a listening server', () => {
  it('serves the app, HEAD too', async () => {
    const { origin } = await start()
    expect(await (await fetch(`${origin}/fast`)).text()).toBe('fast')
    const head = await fetch(`${origin}/fast`, { method: 'HEAD' })
    expect([head.status, head.headers.get('content-type'), await head.text()]).toEqual([
      200,
      expect.stringContaining('text/plain'),
      '',
    ])
  })

  it.each([
    ['no HTTP', 'hello\r\n\r\n', 400, 'malformed'],
    ['a broken header', 'GET /fast HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n', 400, 'malformed'],
    [
      'two lengths',
      'POST /json HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
      'malformed',
    ],
    ['huge headers', `GET /fast HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
    ['no Host', 'GET /fast HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'malformed'],
    ['a Host that is none', 'GET /fast HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n', 400, 'malformed'],
  ])('%s gets a problem, and the connection ends', async (_, bytes, status, code) => {
    const { server } = await start()
    const [head, content] = (await raw(server.port, bytes)).split('\r\n\r\n')
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(head!.toLowerCase()).toContain('content-type: application/problem+json')
    expect(JSON.parse(content!)).toMatchObject({ status, code })
  })

  it.each(['/%', '/%ff', '/fast%00', '//', '/..%2f', '/a\\b', '/fast?%', '*'])('the target %s gets no 5xx', async target => {
    const { server } = await start()
    const answer = await raw(server.port, `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1.1 [24]\d\d/)
  })

  it('a body that is too large is refused without being read, declared or not', async () => {
    const { server } = await start()
    const head = 'POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
    expect(await raw(server.port, `${head}Content-Length: 2000000000\r\n\r\n{`)).toMatch(/^HTTP\/1.1 413 /)
    const chunk = `10000\r\n${' '.repeat(0x10000)}\r\n`
    expect(await raw(server.port, `${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(20)}`)).toMatch(/^HTTP\/1.1 413 /)
  })

  it.each([true, false])('an offer of HTTP/2 is answered in HTTP/1.1 (with WebSockets: %s)', async sockets => {
    const { server } = await start()
    if (sockets) server.server.on('upgrade', (_, socket: Socket) => socket.destroy())
    const offer = 'Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n'
    expect(await raw(server.port, `GET /fast HTTP/1.1\r\nHost: x\r\n${offer}`)).toMatch(/^HTTP\/1.1 200 /)
  })

  it('a body that nobody wants can be sent to its end, slowly too, and the connection goes on', async () => {
    const { server } = await start()
    const socket = connect(server.port, host)
    let answers = ''
    socket.on('data', chunk => {
      answers += chunk.toString()
    })
    socket.write('POST /unknown HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n')
    for (let n = 0; n < 10; n++) {
      await setTimeout(100) // a phone's upload, longer than any grace after an answer
      expect(socket.writable).toBe(true)
      socket.write('.')
    }
    socket.write('GET /fast HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    await once(socket, 'close')
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 404', 'HTTP/1.1 200'])
  })

  it('a client that goes away amid its body harms nobody', async () => {
    const { server, origin } = await start()
    const socket = connect(server.port, host)
    socket.write('POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"a"')
    await once(socket, 'connect')
    socket.destroy()
    expect((await fetch(`${origin}/fast`)).status).toBe(200)
  })
})

describe('a start', () => {
  it('says what to do where the port is taken', async () => {
    const { server } = await start()
    const second = start(server.port)
    await expect(second).rejects.toThrow(StartupError)
    await expect(second).rejects.toThrow(
      `Port ${server.port} on 127.0.0.1 is in use: stop what listens there, or set PORT to another one.`,
    )
  })

  it('says what to do where the address is not ours', async () => {
    const elsewhere = listen({ fetch: () => new Response(), host: '203.0.113.1', port: 0, log })
    await expect(elsewhere).rejects.toThrow('HOST 203.0.113.1 is no address of this machine')
  })
})

describe('closing', () => {
  it('lets a running request end, tells its client to go, and takes no new one', async () => {
    const { server, slow, origin } = await start()
    const agent = new Agent({ keepAlive: true })
    const answer = get(server.port, '/slow', agent)
    await slow.arrived.promise
    const closed = server.close(60_000)
    await expect(fetch(`${origin}/fast`)).rejects.toThrow()
    slow.finish.resolve()
    const { response, text } = await answer
    expect([text, response.headers.connection]).toEqual(['slow', 'close'])
    await closed
    agent.destroy()
  })

  it('ends idle connections at once, also those that never asked', async () => {
    const { server } = await start()
    const agent = new Agent({ keepAlive: true })
    await get(server.port, '/fast', agent)
    const silent = connect(server.port, host)
    await Promise.all([once(silent, 'connect'), once(server.server, 'connection')])
    const ended = once(silent, 'close')
    await server.close(60_000)
    await ended
    agent.destroy()
  })

  it('cuts off what is left after the grace: streams and upgraded sockets', async () => {
    const { server } = await start()
    let upgraded: Socket | undefined
    server.server.on('upgrade', (_, socket: Socket) => {
      upgraded = socket
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
    })
    const client = connect(server.port, host)
    client.write('GET /live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
    await once(client, 'data')
    const stream = connect(server.port, host)
    stream.write('GET /stream HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(stream, 'data')
    const ended = Promise.all([once(client, 'close'), once(stream, 'close')])
    await server.close(10)
    await ended
    expect(upgraded?.destroyed).toBe(true)
  })

  it('twice is once', async () => {
    const { server } = await start()
    await Promise.all([server.close(0), server.close(0)])
  })
})
