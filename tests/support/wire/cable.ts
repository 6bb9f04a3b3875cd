import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** The cable before a server: it can be cut, blocked and pulled out. */
export class Cable {
  readonly #target: number
  readonly #sockets = new Set<Socket>()
  #server: Server | null = null
  #frozen = false
  port = 0

  constructor(target: number) {
    this.#target = target
  }

  /** Listens, on the port of before if there was one. */
  async listen(): Promise<void> {
    this.#server = createServer(client => {
      const server = connect(this.#target, '127.0.0.1')
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(from)
        from.setNoDelay(true)
        from.on('error', () => to.destroy())
        from.on('close', () => {
          this.#sockets.delete(from)
          to.destroy()
        })
        from.pipe(to)
        if (this.#frozen) from.pause()
      }
    }).listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
  }

  /** Breaks every connection; new ones are accepted. */
  disconnect(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Breaks every connection and refuses new ones. */
  async refuse(): Promise<void> {
    const server = this.#server
    this.#server = null
    if (server === null) return
    const closed = once(server, 'close')
    server.close()
    this.disconnect()
    await closed
  }

  /** Connections stand, and new ones are accepted, but nothing comes through any more: a stopped process, a partition. */
  freeze(): void {
    this.#frozen = true
    for (const socket of this.#sockets) socket.pause()
  }

  thaw(): void {
    this.#frozen = false
    for (const socket of this.#sockets) socket.resume()
  }
}
