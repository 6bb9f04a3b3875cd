import { randomUUID } from 'node:crypto'
import { Agent, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'

/** The load generator: a process of its own, one job at a time from its parent. */

export type Sent = {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

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

export type Asked = Job & { readonly inFlight: number; readonly seconds: number }

/** Milliseconds and counts. `done`: answered as they should be, the first so many of the requests where each is sent once. */
export type Figures = {
  readonly done: number
  readonly failed: Readonly<Record<string, number>>
  readonly bytes: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
}

type One = (n: number) => Promise<{ failed?: string; bytes: number }>

/** The value below which the given share of sorted values lies; NaN of none. */
export const quantile = (sorted: ArrayLike<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN

async function measure(
  one: One,
  { inFlight, seconds, most, perSecond }: { inFlight: number; seconds: number; most: number; perSecond: number },
) {
  const times: number[] = []
  const failed: Record<string, number> = {}
  let next = 0
  let bytes = 0
  const began = performance.now()
  const until = began + seconds * 1_000
  const work = async (): Promise<void> => {
    while (next < most) {
      const n = next++
      const due = began + (n / perSecond) * 1_000
      if (due > performance.now()) await pause(due - performance.now())
      const start = performance.now()
      if (start >= until) return
      const answer = await one(n)
      bytes += answer.bytes
      if (answer.failed === undefined) times.push(performance.now() - start)
      else failed[answer.failed] = (failed[answer.failed] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: inFlight }, work))
  const took = (performance.now() - began) / 1_000
  const sorted = Float64Array.from(times).sort()
  const figures: Figures = {
    ...{ done: times.length, failed, bytes, perSecond: times.length / took },
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
  }
  return figures
}

async function http({ url, requests, once, perSecond, inFlight, seconds }: Asked & { kind: 'http' }): Promise<Figures> {
  const agent = new Agent({ keepAlive: true, maxSockets: inFlight })
  const { hostname, port } = new URL(url)
  const one: One = n =>
    new Promise((resolve, reject) => {
      const { method, path, headers, body } = requests[n % requests.length]!
      const sending = request({ agent, hostname, port, method, path, headers }, answer => {
        let bytes = 0
        answer.on('data', (chunk: Buffer) => {
          bytes += chunk.length
        })
        answer.on('error', reject)
        answer.on('end', () => {
          const { statusCode = 0 } = answer
          resolve(statusCode < 300 ? { bytes } : { bytes, failed: String(statusCode) })
        })
      })
      sending.on('error', reject)
      sending.end(body)
    })
  try {
    const most = once ? requests.length : Number.POSITIVE_INFINITY
    return await measure(one, { inFlight, seconds, most, perSecond: perSecond ?? Number.POSITIVE_INFINITY })
  } finally {
    agent.destroy()
  }
}

async function statements({ url, text, values, inFlight, seconds }: Asked & { kind: 'sql' }): Promise<Figures> {
  const clients = Array.from({ length: inFlight }, () => new pg.Client(url))
  await Promise.all(clients.map(client => client.connect()))
  try {
    const free = [...clients]
    const one: One = async () => {
      const client = free.pop()!
      await client.query({ name: 'one', text, values: [randomUUID(), ...values] })
      free.push(client)
      return { bytes: 0 }
    }
    return await measure(one, { inFlight, seconds, most: Number.POSITIVE_INFINITY, perSecond: Number.POSITIVE_INFINITY })
  } finally {
    await Promise.all(clients.map(client => client.end()))
  }
}

process.on('message', async (asked: Asked) => {
  try {
    process.send?.({ figures: await (asked.kind === 'http' ? http(asked) : statements(asked)) })
  } catch (error) {
    process.send?.({ error: String(error) })
  }
})
process.on('disconnect', () => process.exit(0))
