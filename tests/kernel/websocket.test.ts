import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it, vi } from 'vitest'
import WebSocket from 'ws'
import { Outgoing, type Transport } from '../../src/kernel/live/client.ts'
import { acceptWebSockets } from '../../src/kernel/live/websocket.ts'

it('bounds the frames that wait while a connection is brought up to now, however slowly they come', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const connecting = Promise.withResolvers<never>()
  const end = acceptWebSockets(server, {
    hub: { connect: () => connecting.promise } as never,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    authenticate: async () => ({ accountId: 'ada', sessionId: 'one' }),
  })
  let now = 0
  // Each frame in a window of its own.
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => {
    now += 60_000
    return now
  })
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/v1/live`)
  await once(socket, 'open')
  const closed = once(socket, 'close')
  for (let n = 0; n <= 200; n++) socket.send('{}')
  expect((await closed)[0]).toBe(4429)
  clock.mockRestore()
  end()
  server.close()
})

it('messages of every length come whole and in order, between the frames of ws itself; behind a close comes nothing', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const connected = Promise.withResolvers<Transport>()
  const end = acceptWebSockets(server, {
    hub: {
      connect: async (_: unknown, transport: Transport) => {
        connected.resolve(transport)
        return { close() {} }
      },
    } as never,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    authenticate: async () => ({ accountId: 'ada', sessionId: 'one' }),
  })
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/v1/live`)
  const got: string[] = []
  let pings = 0
  socket.on('message', (bytes, isBinary) => got.push(isBinary ? 'binary' : bytes.toString()))
  socket.on('ping', () => pings++)
  await once(socket, 'open')
  const transport = await connected.promise
  // Around the lengths at which the head of a frame grows (RFC 6455, section 5.2), and text that has more bytes than characters.
  const empty = new Outgoing({ type: 'x', at: '', data: '' }).text.length
  const messages = [...[125, 126, 65_535, 65_536, 300_000].map(length => 'x'.repeat(length - empty)), 'é🌅'.repeat(40)].map(
    data => new Outgoing({ type: 'x', at: '', data }),
  )
  for (const message of messages) {
    await transport.send(message)
    if (message === messages[1]) transport.heartbeat()
  }
  transport.offer(messages[0]!)
  transport.close(4401, 'session revoked')
  expect(transport.send(messages[0]!)).toBeNull()
  transport.offer(messages[0]!)
  const [code] = await once(socket, 'close')
  expect({ code, pings }).toEqual({ code: 4401, pings: 1 })
  expect(got).toEqual([...messages, messages[0]!].map(({ text }) => text))
  end()
  server.close()
})
