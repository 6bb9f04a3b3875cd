import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, it } from 'vitest'
import { database, isTransient, openPool } from '../../src/adapters/postgres/database.ts'

/** A message of the PostgreSQL protocol: its type, its length with itself, its content. */
function message(type: string, content: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(content.length + 4, 1)
  return Buffer.concat([head, content])
}

it('a connection that is ended in the moment it is made ends no process, and whoever asked for it is told', async () => {
  const made = message('R', Buffer.alloc(4))
  const ready = message('Z', Buffer.from('I'))
  const ended = message('E', Buffer.from('SFATAL\0C57P01\0Mterminating connection\0\0'))
  const server = createServer(socket => {
    socket.on('error', () => {})
    // In one piece: the end is read before anybody has the connection.
    socket.once('data', () => socket.end(Buffer.concat([made, ready, ended])))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const pool = openPool(`postgres://somebody@127.0.0.1:${port}/nothing`, 1, () => {})
  try {
    const db = database(pool)
    for (let n = 0; n < 3; n++) {
      const error = await db.transaction(async () => 'done').catch((error: unknown) => error)
      expect(isTransient(error), String(error)).toBe(true)
    }
  } finally {
    await pool.end()
    server.close()
  }
})
