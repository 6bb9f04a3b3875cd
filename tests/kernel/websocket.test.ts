import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it, vi } from 'vitest'
import WebSocket from 'ws'
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
