import type { Log } from '../ports/log.ts'
import { type LiveClient, Outgoing } from './client.ts'
import type { HubParts } from './hub.ts'

/** At most so often is one topic told anew. */
const everyMs = 250

/** How many topics one connection may have. */
export const topicsPerClient = 100

type Watched = {
  readonly clients: Set<LiveClient>
  timer: NodeJS.Timeout | null
  toldAt: number
  telling: Promise<void> | null
  dirty: boolean
}

/** Who watches what: `post:<id>`. Their state is read anew when it changed, framed once for all, and given to those who may have it now. */
export class Topics {
  readonly #read: HubParts['topic']
  readonly #log: Log
  readonly #watched = new Map<string, Watched>()

  constructor(read: HubParts['topic'], log: Log) {
    this.#read = read
    this.#log = log
  }

  /** Adds the topic and sends the state of now. False where the client may not have it. */
  async join(client: LiveClient, topic: string): Promise<boolean> {
    const { accountId } = client.who
    const watched = this.#watched.get(topic) ?? { clients: new Set(), timer: null, toldAt: 0, telling: null, dirty: false }
    // Before reading, so that no change slips between.
    this.#watched.set(topic, watched)
    watched.clients.add(client)
    client.topics.add(topic)
    const state = await this.#read(topic, [accountId])
    if (state === null || !state.allowed.has(accountId) || client.closed) {
      this.drop(client, topic)
      return false
    }
    client.offer(frameOf(state))
    return true
  }

  drop(client: LiveClient, topic: string): void {
    client.topics.delete(topic)
    const watched = this.#watched.get(topic)
    watched?.clients.delete(client)
    if (watched === undefined || watched.clients.size > 0) return
    if (watched.timer !== null) clearTimeout(watched.timer)
    this.#watched.delete(topic)
  }

  leave(client: LiveClient): void {
    for (const topic of [...client.topics]) this.drop(client, topic)
  }

  changed(topics: readonly string[]): void {
    for (const topic of topics) {
      const watched = this.#watched.get(topic)
      if (watched === undefined || watched.timer !== null) continue
      if (watched.telling !== null) {
        watched.dirty = true
        continue
      }
      const wait = Math.max(0, watched.toldAt + everyMs - performance.now())
      watched.timer = setTimeout(() => {
        watched.timer = null
        watched.telling = this.#tell(topic, watched)
      }, wait)
    }
  }

  async close(): Promise<void> {
    const telling = [...this.#watched.values()].map(watched => {
      if (watched.timer !== null) clearTimeout(watched.timer)
      return watched.telling
    })
    this.#watched.clear()
    await Promise.all(telling)
  }

  async #tell(topic: string, watched: Watched): Promise<void> {
    watched.toldAt = performance.now()
    watched.dirty = false
    try {
      const clients = [...watched.clients]
      const state = await this.#read(topic, [...new Set(clients.map(({ who }) => who.accountId))])
      const frame = state === null ? null : frameOf(state)
      for (const client of clients) {
        if (frame !== null && state?.allowed.has(client.who.accountId)) client.offer(frame)
        else this.drop(client, topic)
      }
    } catch (error) {
      this.#log.warn({ topic, error: String(error) }, 'a topic waits for the database')
    }
    watched.telling = null
    if (watched.dirty && this.#watched.get(topic) === watched) this.changed([topic])
  }
}

const frameOf = ({ type, data }: { type: string; data: unknown }): Outgoing =>
  new Outgoing({ type, at: new Date().toISOString(), data })
