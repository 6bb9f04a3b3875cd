import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'

/** The machine's own limit for a read over HTTP: the same server and router, which serialise one value, or send one file, and do nothing else. */

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

process.on('message', async (asked: { listen: true } | { page: object } | { file: string }) => {
  if ('page' in asked) page = asked.page
  else if ('file' in asked) file = asked.file
  process.send?.('listen' in asked ? { port: (await listening).port } : {})
})
process.on('disconnect', () => process.exit(0))
