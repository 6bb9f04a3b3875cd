import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { picture } from '../support/app.ts'
import { Client } from '../support/client.ts'
import { freshDatabase } from '../support/database.ts'
import { environmentOf } from '../support/engines.ts'
import { expectVerified, logOf, oneOf, points, published, randomOf, repeat, seed, underLoad } from '../support/load.ts'
import { hasNats, runNats } from '../support/nats.ts'
import { freePort, type ServerProcess, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary.ts'

const hour = 3_600_000
const day = 24 * hour
const patience = { timeout: 30_000, interval: 50 }
const without = hasNats ? '' : ', for want of nats-server'

/** A node whose wall clock can be set, at an address that stays. */
class Node {
  readonly environment: Readonly<Record<string, string>>
  server: ServerProcess | null = null

  constructor(environment: Readonly<Record<string, string>>) {
    this.environment = environment
  }

  get url(): string {
    return `http://127.0.0.1:${this.environment.PORT}`
  }

  /** @param ahead milliseconds that its wall clock is wrong from the start */
  async start(ahead = 0): Promise<void> {
    const environment = { ...this.environment, CLOCK_AHEAD: String(ahead) }
    this.server = await startServer(environment, 'tests/support/careless-server.ts')
  }

  async jump(ahead: number): Promise<void> {
    const { child } = this.server!
    const heard = once(child, 'message')
    child.send(ahead)
    await heard
  }

  async end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | undefined> {
    return this.server?.end(signal)
  }
}

describe.skipIf(!hasNats)(`two nodes${without}`, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let nats: Awaited<ReturnType<typeof runNats>>
  let dataDir: string
  let environment: Record<string, string>
  let nodes: readonly [Node, Node]

  beforeEach(async () => {
    fresh = await freshDatabase()
    nats = await runNats()
    dataDir = await temporaryFolder()
    environment = {
      NATS_URL: nats.url,
      ...environmentOf(fresh.url),
      DATA_DIR: dataDir,
      SECRET: randomBytes(32).toString('base64url'),
    }
  })
  afterEach(async () => {
    await Promise.all(nodes.map(node => node.end('SIGKILL')))
    await nats.end()
    await rm(dataDir, { recursive: true, force: true })
    await fresh.drop()
  })

  const startNodes = async (more: Record<string, string> = {}): Promise<void> => {
    const [first, second] = [await freePort(), await freePort()].map(
      port => new Node({ ...environment, ...more, PORT: String(port) }),
    )
    nodes = [first!, second!]
    for (const node of nodes) await node.start()
  }
  const at = ({ url }: Node): Client => new Client(() => url)

  const endInOrder = async (): Promise<void> => {
    expect(await Promise.all(nodes.map(node => node.end('SIGTERM')))).toEqual([0, 0])
    await expectVerified(environment)
  }

  /** When the events of the log say that they happened, the first and the last time. */
  async function timesOfLog(): Promise<{ first: string; last: string }> {
    const times = (await logOf(environment)).map(({ metadata }) => (metadata as { at: string }).at).sort()
    return { first: times[0]!, last: times.at(-1)! }
  }

  /** What one node has signed and the other is shown. */
  async function serves(
    { accessToken, refreshToken, postId }: { accessToken: string; refreshToken: string; postId: string },
    from: Node,
    to: Node,
  ) {
    const headers = { Authorization: `Bearer ${accessToken}` }
    const json = { 'Content-Type': 'application/json' }
    const refreshed = await fetch(`${from.url}/v1/sessions/refresh`, {
      method: 'POST',
      headers: json,
      body: JSON.stringify({ refreshToken }),
    })
    const { session } = (await refreshed.json()) as { session: { accessToken: string; refreshToken: string } }
    const shown = { Authorization: `Bearer ${session.accessToken}` }
    expect((await fetch(`${to.url}/v1/me`, { headers: shown })).status).toBe(200)
    const post = await fetch(`${from.url}/v1/posts/${postId}`, { headers })
    const { media } = (await post.json()) as { media: { renditions: { url: string }[] }[] }
    const pictureUrl = new URL(media[0]!.renditions[0]!.url)
    expect((await fetch(to.url + pictureUrl.pathname + pictureUrl.search)).status).toBe(200)
    const { ticket } = (await (await fetch(`${from.url}/v1/live/tickets`, { method: 'POST', headers })).json()) as {
      ticket: string
    }
    const stream = await fetch(`${to.url}/v1/live/events?ticket=${ticket}`)
    expect(stream.status).toBe(200)
    await stream.body!.cancel()
    return { postId, ...session }
  }

  const jumps = [60_000, 31 * 60_000, 5 * hour, 26 * hour, 4 * day, 70 * day].flatMap(ms => [ms, -ms])

  it(`one whose wall clock jumps says, signs and ends nothing at a wrong time ${repeat}`, {
    timeout: 120_000 + points * 10_000,
  }, async () => {
    const random = randomOf(seed)
    const began = new Date(Date.now() - 5_000).toISOString()
    await startNodes()
    const [a, b] = nodes
    const someone = at(b)
    await someone.signUp(`someone_${seed}`)
    const unused = await someone.send('POST', '/media', await picture())
    let signed = { accessToken: someone.accessToken, refreshToken: someone.refreshToken, postId: await published(someone) }
    const author = at(a)
    const writers = [at(b), at(b), at(a)]
    await underLoad({ author, writers, pauseMs: 20 }, async () => {
      for (let n = 0; n < points; n++) {
        const [wrong, right] = random() < 0.5 ? [a, b] : [b, a]
        await wrong.jump(oneOf(jumps, random))
        await at(wrong).signUp(`jump_${n}_${seed}`)
        signed = await serves(signed, wrong, right)
        signed = await serves(signed, right, wrong)
        await pause(random() * 600)
        // Back, or left as wrong as it is; or a process that starts on a wrong clock.
        if (random() < 0.4) await wrong.jump(0)
        else if (random() < 0.3) {
          await wrong.end('SIGKILL')
          await wrong.start(oneOf(jumps, random))
        }
      }
    })
    expect([author, ...writers].map(({ refreshed }) => refreshed)).toEqual([0, 0, 0, 0])
    // Unused for less than a day.
    await someone.send('POST', '/posts', { media: [{ id: unused.id }] })
    await endInOrder()
    const { first, last } = await timesOfLog()
    expect(first > began && last < new Date(Date.now() + 5_000).toISOString(), `${first} to ${last}`).toBe(true)
  })

  it('would see a clock that is asked: a node that goes by its own says tomorrow, and discards today what is kept for a day', {
    timeout: 90_000,
  }, async () => {
    await startNodes({ WITHOUT: 'clock' })
    const someone = at(nodes[0])
    await someone.signUp(`someone_${seed}`)
    const { id } = await someone.send('POST', '/media', await picture())
    await nodes[1].jump(26 * hour)
    const post = (): Promise<unknown> => someone.send('POST', '/posts', { media: [{ id }] })
    await vi.waitFor(async () => {
      const { status } = await fetch(`${nodes[0].url}/v1/media/${id}`, {
        headers: { Authorization: `Bearer ${someone.accessToken}` },
      })
      expect(status).toBe(404)
    }, patience)
    await expect(post()).rejects.toThrow('media_not_found')
    const elsewhere = new Client(() => nodes[1].url)
    Object.assign(elsewhere, { accessToken: someone.accessToken, refreshToken: someone.refreshToken })
    await elsewhere.send('GET', '/me')
    expect(elsewhere.refreshed).toBe(1)
    expect((await timesOfLog()).last > new Date(Date.now() + day).toISOString()).toBe(true)
  })

  it(`lose, double and miss nothing when the time of all jumps ${repeat}`, { timeout: 120_000 + points * 15_000 }, async () => {
    const random = randomOf(seed)
    await startNodes({ WITHOUT: 'clock' })
    const [a, b] = nodes
    // Together less than the live journal is kept.
    const shifts = [0, 60_000, 20 * 60_000, 5 * hour, 30 * hour].flatMap(ms => [ms, -ms])
    await underLoad({ author: at(a), writers: [at(b), at(b), at(a)], pauseMs: 20 }, async () => {
      for (let n = 0; n < points; n++) {
        const shift = oneOf(shifts, random)
        await Promise.all(nodes.map(node => node.jump(shift)))
        await at(oneOf(nodes, random)).signUp(`jump_${n}_${seed}`)
        await pause(random() * 400)
        if (random() < 0.75) continue
        const node = oneOf(nodes, random)
        await node.end('SIGKILL')
        await node.start(shift)
      }
      await Promise.all(nodes.map(node => node.jump(0)))
    })
    await endInOrder()
  })
})
