import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { WebSocketServer } from 'ws'

/** The machine's own limit: the same server and router, which serialise one value or send one file, and do nothing else; or the calls that make a picture. */

let page: object = {}
let file = ''

const app = new Hono()
app.get('/page', c => c.json(page))
app.get('/file', async c => {
  const { size } = await stat(file)
  const bytes = Readable.toWeb(createReadStream(file)) as ReadableStream
  return c.body(bytes, 200, { 'Content-Type': 'image/jpeg', 'Content-Length': String(size) })
})

const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 })
const listening = new Promise<AddressInfo>(resolve => server.once('listening', () => resolve(server.address() as AddressInfo)))

const sockets = new WebSocketServer({ server: server as Server, path: '/live' })

async function imaging(image: Uint8Array, seconds: number): Promise<{ done: number; perSecond: number }> {
  // Whoever measures routes does without its libraries.
  const { makePicture } = await import('../src/adapters/media/picture.ts')
  const began = performance.now()
  const took = (): number => (performance.now() - began) / 1_000
  let done = 0
  for (; took() < seconds; done++) await makePicture(image, 'jpeg')
  return { done, perSecond: done / took() }
}

type Asked =
  | { broadcast: string; times: number }
  | { listen: true }
  | { page: object }
  | { file: string }
  | { image: Uint8Array; seconds: number }

async function answer(asked: Asked): Promise<object> {
  if ('broadcast' in asked) {
    // Encoded once for all.
    const bytes = Buffer.from(asked.broadcast)
    for (let n = 0; n < asked.times; n++) for (const socket of sockets.clients) socket.send(bytes, { binary: false })
    return {}
  }
  if ('image' in asked) return imaging(asked.image, asked.seconds)
  if ('listen' in asked) return { port: (await listening).port }
  if ('page' in asked) page = asked.page
  else file = asked.file
  return {}
}

process.on('message', async (asked: Asked) => {
  try {
    process.send?.(await answer(asked))
  } catch (error) {
    process.send?.({ error: String(error) })
  }
})
process.on('disconnect', () => process.exit(0))
