import { randomUUID } from 'node:crypto'
import type { JSONType } from '@eventstore/db-client'
import pg from 'pg'
import { Connection, encoded, type Sent } from './client.ts'

/** The load generator: a process of its own, one job at a time from its parent. */

export type Job =
  /** Requests in turn; each once where `once`, and then it ends early. `perSecond` paces them instead of as many as possible. */
  | {
      readonly kind: 'http'
      readonly url: string
      readonly requests: readonly Sent[]
      readonly once: boolean
      readonly perSecond?: number
    }
  /** One statement a commit, over as many connections as are in flight. $1 is a new UUID, `values` are $2 and on. */
  | { readonly kind: 'sql'; readonly url: string; readonly text: string; readonly values: readonly unknown[] }
  /** One event to EventStoreDB each, in a new stream that begins so. */
  | {
      readonly kind: 'append'
      readonly url: string
      readonly prefix: string
      readonly data: JSONType
      readonly metadata: JSONType
    }

export type Asked = Job & { readonly inFlight: number; readonly seconds: number }

/** Milliseconds and counts. `done`: answered as they should be, the first so many of the requests where each is sent once. */
export type Figures = {
  readonly done: number
  readonly failed: Readonly<Record<string, number>>
  readonly bytes: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  /** What the generator itself took of the processor meanwhile, in microseconds. */
  readonly cpu: number
}

/** Does the n-th thing, and says once how it ended (an HTTP status) and how many bytes came. */
type Lane = (n: number, ended: (status: number, bytes: number) => void) => void

type Pace = { readonly seconds: number; readonly most: number; readonly perSecond: number }

/** The value below which the given share of sorted values lies; NaN of none. */
export const quantile = (sorted: ArrayLike<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN

/** Keeps every lane busy, or as many as a pace needs. What is paced is timed from when it was due, so that a server that stalls is not spared. */
function measure(lanes: readonly Lane[], { seconds, most, perSecond }: Pace): Promise<Figures> {
  const { promise, resolve } = Promise.withResolvers<Figures>()
  const times: number[] = []
  const failed: Record<string, number> = {}
  const idle: number[] = []
  const starts = new Float64Array(lanes.length)
  let running = lanes.length
  let next = 0
  let bytes = 0
  const cpu = process.cpuUsage()
  const began = performance.now()
  const until = began + seconds * 1_000

  const finish = (): void => {
    const took = (performance.now() - began) / 1_000
    const { user, system } = process.cpuUsage(cpu)
    const sorted = Float64Array.from(times).sort()
    resolve({
      ...{ done: times.length, failed, bytes, perSecond: times.length / took, cpu: user + system },
      ...{ p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) },
    })
  }
  const wake = (): void => {
    for (const lane of idle.splice(0)) step(lane)
  }
  const step = (lane: number): void => {
    const now = performance.now()
    const due = began + (next / perSecond) * 1_000
    if (next >= most || now >= until) {
      if (--running === 0) finish()
    } else if (due > now) {
      if (idle.push(lane) === 1) setTimeout(wake, Math.min(due, until) - now)
    } else {
      starts[lane] = perSecond === Number.POSITIVE_INFINITY ? now : due
      lanes[lane]!(next++, ends[lane]!)
    }
  }
  const ends = lanes.map((_, lane) => (status: number, came: number): void => {
    bytes += came
    if (status < 300) times.push(performance.now() - starts[lane]!)
    else failed[status] = (failed[status] ?? 0) + 1
    step(lane)
  })
  for (const lane of lanes.keys()) step(lane)
  return promise
}

async function http({ url, requests, once, perSecond, inFlight, seconds }: Asked & { kind: 'http' }): Promise<Figures> {
  const ready = requests.map(request => encoded(url, request))
  const { promise: broken, reject } = Promise.withResolvers<never>()
  const connections = await Promise.all(Array.from({ length: inFlight }, () => Connection.open(url, reject)))
  try {
    const lanes = connections.map(
      (connection): Lane =>
        (n, ended) =>
          connection.send(ready[n % ready.length]!, ended),
    )
    const most = once ? requests.length : Number.POSITIVE_INFINITY
    return await Promise.race([measure(lanes, { seconds, most, perSecond: perSecond ?? Number.POSITIVE_INFINITY }), broken])
  } finally {
    for (const connection of connections) connection.close()
  }
}

async function statements({ url, text, values, inFlight, seconds }: Asked & { kind: 'sql' }): Promise<Figures> {
  const { promise: broken, reject } = Promise.withResolvers<never>()
  const clients = Array.from({ length: inFlight }, () => new pg.Client(url))
  await Promise.all(clients.map(client => client.connect()))
  try {
    const lanes = clients.map(
      (client): Lane =>
        (_, ended) => {
          client.query({ name: 'one', text, values: [randomUUID(), ...values] }).then(() => ended(200, 0), reject)
        },
    )
    const pace = { seconds, most: Number.POSITIVE_INFINITY, perSecond: Number.POSITIVE_INFINITY }
    return await Promise.race([measure(lanes, pace), broken])
  } finally {
    await Promise.all(clients.map(client => client.end()))
  }
}

async function appends({ url, prefix, data, metadata, inFlight, seconds }: Asked & { kind: 'append' }): Promise<Figures> {
  const { EventStoreDBClient, jsonEvent, NO_STREAM } = await import('@eventstore/db-client')
  const client = EventStoreDBClient.connectionString(url)
  const { promise: broken, reject } = Promise.withResolvers<never>()
  try {
    const lane: Lane = (_, ended) => {
      const event = jsonEvent({ type: 'Appended', data, metadata })
      client.appendToStream(`${prefix}${randomUUID()}`, event, { expectedRevision: NO_STREAM }).then(() => ended(200, 0), reject)
    }
    const lanes = Array.from({ length: inFlight }, () => lane)
    const pace = { seconds, most: Number.POSITIVE_INFINITY, perSecond: Number.POSITIVE_INFINITY }
    return await Promise.race([measure(lanes, pace), broken])
  } finally {
    await client.dispose()
  }
}

const run = (asked: Asked): Promise<Figures> =>
  asked.kind === 'http' ? http(asked) : asked.kind === 'sql' ? statements(asked) : appends(asked)

process.on('message', async (asked: Asked) => {
  try {
    process.send?.({ figures: await run(asked) })
  } catch (error) {
    process.send?.({ error: String(error) })
  }
})
process.on('disconnect', () => process.exit(0))
