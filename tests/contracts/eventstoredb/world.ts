import { EventStoreDBClient } from '@eventstore/db-client'
import { expect, onTestFinished } from 'vitest'
import { type EventStoreDb, openEventStoreDb } from '../../../src/adapters/eventstore/eventstoredb.ts'
import type { LoggedEvent } from '../../../src/kernel/events.ts'
import type { EventStore, Slice } from '../../../src/kernel/ports/event-store.ts'
import type { Log } from '../../../src/kernel/ports/log.ts'
import { WireServer } from '../../support/wire-server.ts'
import { storedEvent } from '../event-store.ts'

/** A test of one fact; its name stands in the table of facts. */
export type Proofs = Readonly<Record<string, () => Promise<void>>>

/** As patient as a busy test machine asks for, and no more. */
export const patience = { attempt: 2_000, reader: 2_000, total: 10_000, look: 50, settle: 5_000 }
export const impatient = { attempt: 300, reader: 300, total: 1_000, look: 50, settle: 5_000 }

export type World = {
  readonly server: WireServer
  readonly nodes: readonly WireServer[]
  readonly store: EventStoreDb
  /** Lines of the adapter's log, by level. */
  readonly lines: { readonly level: string; readonly message: string }[]
}

const finish = (close: () => Promise<void>): void => onTestFinished(close)

export async function servers(size = 1): Promise<WireServer[]> {
  const nodes = await WireServer.cluster(size)
  finish(async () => {
    await Promise.all(nodes.map(node => node.close()))
  })
  return nodes
}

export async function open(
  url: string,
  options: { namespace?: string; waits?: typeof patience; log?: Log } = {},
): Promise<EventStoreDb> {
  const { namespace = '', waits = patience, log = { debug() {}, info() {}, warn() {}, error() {} } } = options
  const store = await openEventStoreDb({ url, namespace, log, patience: waits })
  finish(() => store.close())
  return store
}

/** A server (or a cluster of them) and the adapter over it. */
export async function world({ size = 1, namespace = '', waits = patience, query = '' } = {}): Promise<World> {
  const nodes = await servers(size)
  const server = nodes[0]!
  const lines: World['lines'] = []
  const line =
    (level: string) =>
    (_: object, message: string): void => {
      lines.push({ level, message })
    }
  const log: Log = { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
  return { server, nodes, store: await open(server.url + query, { namespace, waits, log }), lines }
}

/** The client as it comes, to show what the adapter protects from. */
export function rawClient(url: string): EventStoreDBClient {
  const client = EventStoreDBClient.connectionString(url)
  finish(() => client.dispose())
  return client
}

export const rawEvent = (type = 'Tested', data: Record<string, unknown> = {}) => ({
  id: crypto.randomUUID(),
  contentType: 'application/json' as const,
  type,
  data,
  metadata: { ...storedEvent().metadata },
})

export const stream = (): string => `test-${crypto.randomUUID()}`

/** Writes straight into the server's log, one stream an event: quicker than over the wire. */
export function fill(server: WireServer, types: readonly string[], bytes = 10): number[] {
  return types.map(type => {
    const { id, metadata } = storedEvent(type)
    const [data, meta] = [{ text: 'x'.repeat(bytes) }, metadata].map(value => new TextEncoder().encode(JSON.stringify(value)))
    const outcome = server.log.append(stream(), -1, [{ id, type, contentType: 'application/json', data: data!, metadata: meta! }])
    return 'position' in outcome ? outcome.position : Number.NaN
  })
}

/** Follows a store in the background and keeps what it is given. */
export class Reader {
  readonly slices: Slice[] = []
  readonly #reading = new AbortController()
  readonly #done: Promise<void>
  /** Awaited before the next slice is taken. */
  hold: Promise<void> = Promise.resolve()

  constructor(store: EventStore, options: { after?: number; types?: readonly string[] } = {}) {
    const { after = 0, types } = options
    this.#done = (async () => {
      for await (const slice of store.subscribe({ after, ...(types && { types }), signal: this.#reading.signal })) {
        this.slices.push(slice)
        await this.hold
      }
    })()
    this.#done.catch(() => {})
    finish(() => this.stop())
  }

  get events(): readonly LoggedEvent[] {
    return this.slices.flatMap(({ events }) => events)
  }

  get positions(): readonly number[] {
    return this.events.map(({ position }) => position)
  }

  get passed(): number {
    return this.slices.at(-1)?.passed ?? -1
  }

  get caughtUp(): boolean {
    return this.slices.at(-1)?.caughtUp ?? false
  }

  until(enough: () => boolean): Promise<void> {
    return eventually(enough)
  }

  async stop(): Promise<void> {
    this.#reading.abort()
    await this.#done
  }
}

export const eventually = async (condition: () => boolean): Promise<void> => {
  await expect.poll(condition, { timeout: 20_000, interval: 5 }).toBe(true)
}
