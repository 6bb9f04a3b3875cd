import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/adapters/postgres/embedded.ts'
import { Client } from '../support/client.ts'
import { freshDatabase } from '../support/database.ts'
import { standsApart } from '../support/engines.ts'
import { expectVerified, oneOf, points, randomOf, repeat, seed, underLoad } from '../support/load.ts'
import { type Nats, natsServer, startNats } from '../support/nats.ts'
import { type ServerProcess, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { WireServer } from '../support/wire-server.ts'

standsApart('it takes its NATS, its Postgres and the way to that away; the log is the embedded one')

const without = natsServer === null ? ', for want of nats-server' : ''
const patience = { timeout: 30_000, interval: 50 }
/** What counts as hanging: a client gives up. */
const patient = (): AbortSignal => AbortSignal.timeout(25_000)

describe.skipIf(natsServer === null)(`NATS away and back${without}`, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let nats: Nats
  let dataDir: string
  let secret: string
  let nodes: ServerProcess[] = []
  beforeAll(async () => {
    fresh = await freshDatabase()
    nats = await startNats()
    dataDir = await temporaryFolder()
    secret = randomBytes(32).toString('base64url')
    const environment = { DATABASE_URL: fresh.url, NATS_URL: nats.url, DATA_DIR: dataDir, SECRET: secret }
    nodes = await Promise.all([startServer(environment), startServer(environment)])
  }, 60_000)
  afterAll(async () => {
    await Promise.all(nodes.map(node => node.end('SIGKILL')))
    await nats.end()
    await rm(dataDir, { recursive: true, force: true })
    await fresh.drop()
  })

  const said = async (text: string, times: number): Promise<void> => {
    for (const node of nodes) await vi.waitFor(() => expect(node.output().split(text)).toHaveLength(times + 1), patience)
  }

  it(`nodes keep serving, and live misses and doubles nothing ${repeat}`, { timeout: 90_000 + points * 10_000 }, async () => {
    const random = randomOf(seed)
    const [a, b] = nodes as [ServerProcess, ServerProcess]
    const at = ({ url }: ServerProcess): Client => new Client(() => url)
    const writers = [at(b), at(b), at(a)]
    await underLoad({ author: at(a), writers, pauseMs: 20 }, async () => {
      for (let times = 0; times < points; times++) {
        await pause(random() * 500)
        await nats.end(oneOf(['SIGKILL', 'SIGTERM'] as const, random))
        await said('NATS is away', times + 1)
        for (const { url } of nodes) expect((await fetch(`${url}/readyz`, { signal: patient() })).status).toBe(200)
        // Time for the load to go on without it.
        await pause(random() * 1_000)
        nats = await startNats(Number(new URL(nats.url).port))
        await said('NATS is back', times + 1)
      }
      await pause(500)
    })
    expect(await Promise.all(nodes.map(node => node.end('SIGTERM')))).toEqual([0, 0])
    await expectVerified({ DATABASE_URL: fresh.url, SECRET: secret })
  })
})

type Ask = (method: string, path: string, body?: unknown) => Promise<Response>

const asker =
  ({ url }: ServerProcess, { accessToken }: Client): Ask =>
  (method, path, body) =>
    fetch(url + path, {
      method,
      headers: { Authorization: `Bearer ${accessToken}`, 'Content-Type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: patient(),
    })

/** Which parts an answer of `/readyz` says are away, none where all are there. */
async function reasonsOf(ready: Response): Promise<readonly string[]> {
  const { reasons = [] } = (await ready.json()) as { reasons?: readonly string[] }
  return reasons.map(reason => reason.split(':')[0]!)
}

const logAway = 'the event log does not answer'
const databaseAway = 'the database does not answer'

/**
 * Whatever is asked has an answer, and it is 503 with the time to come back; operators are told why.
 * @param reasons of which parts are away: without the log alone what is read goes on
 */
async function expectUnavailable(ask: Ask, { id }: Client, reasons: readonly string[]): Promise<void> {
  const probe = ask('GET', '/readyz')
  const password = 'a long and winding password'
  const reads = [
    ['GET', '/v1/me'],
    ['GET', '/v1/feed'],
    ['POST', '/v1/live/tickets'],
  ] as const
  const commands = [
    ['PATCH', '/v1/me', { bio: `Somebody else ${Math.random()}` }],
    ['POST', '/v1/sessions', { login: `someone_${seed}`, password }],
    ['POST', '/v1/accounts', { username: 'late', email: 'late@example.org', password }],
    ['PUT', `/v1/accounts/${id}/follow`],
  ] as const
  const stillRead = !reasons.includes(databaseAway)
  if (stillRead) for (const [method, path] of reads) expect((await ask(method, path)).ok, `${method} ${path}`).toBe(true)
  await Promise.all(
    [...(stillRead ? [] : reads), ...commands].map(async ([method, path, body]) => {
      const answer = await ask(method, path, body)
      expect(answer.status, `${method} ${path}: ${await answer.text()}`).toBe(503)
      expect(answer.headers.get('retry-after'), `${method} ${path}`).toMatch(/^\d+$/)
    }),
  )
  const ready = await probe
  expect(ready.status).toBe(503)
  expect(await reasonsOf(ready)).toEqual(reasons)
}

/** The embedded log is in the database. */
const bothAway = [logAway, databaseAway]

describe('Postgres away and back', () => {
  let postgres: EmbeddedPostgres
  let folder: string
  let dataDir: string
  let secret: string
  let server: ServerProcess
  const startPostgres = async (): Promise<void> => {
    const settings = { fsync: 'off', full_page_writes: 'off' }
    postgres = await startEmbeddedPostgres({ dataDir: folder, log: () => {}, settings })
  }
  beforeAll(async () => {
    folder = await temporaryFolder()
    dataDir = await temporaryFolder()
    secret = randomBytes(32).toString('base64url')
    await startPostgres()
    server = await startServer({ DATABASE_URL: postgres.url, DATA_DIR: dataDir, SECRET: secret })
  }, 90_000)
  afterAll(async () => {
    await server.end('SIGKILL')
    await postgres.stop()
    for (const each of [folder, dataDir]) await rm(each, { recursive: true, force: true })
  })

  it(`is 503 meanwhile, and goes on by itself with nothing lost or doubled ${repeat}`, {
    timeout: 120_000 + points * 15_000,
  }, async () => {
    const random = randomOf(seed)
    const client = (): Client => new Client(() => server.url)
    const someone = client()
    await someone.signUp(`someone_${seed}`)
    const ask = asker(server, someone)
    await underLoad({ author: client(), writers: [client(), client(), client()] }, async () => {
      for (let times = 0; times < points; times++) {
        await pause(random() * 800)
        if (random() < 0.5) await postgres.stop()
        else {
          const [pid] = (await readFile(join(folder, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')
          process.kill(Number(pid), 'SIGKILL')
          // Its processes go one by one: the log's connections may be gone while one for reading still answers.
          await vi.waitFor(async () => expect(await reasonsOf(await ask('GET', '/readyz'))).toEqual(bothAway), patience)
        }
        await expectUnavailable(ask, someone, bothAway)
        expect((await ask('GET', '/healthz')).status).toBe(200)
        expect((await ask('GET', '/metrics')).status).toBe(200)
        await startPostgres()
      }
      await vi.waitFor(async () => expect((await ask('GET', '/readyz')).status).toBe(200), patience)
      await pause(500)
    })
    expect(await server.end('SIGTERM')).toBe(0)
    await expectVerified({ DATABASE_URL: postgres.url, SECRET: secret })
  })
})

describe('EventStoreDB away and back, as far as the wire server stands for it', () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let wire: WireServer
  let environment: Record<string, string>
  let server: ServerProcess
  beforeAll(async () => {
    fresh = await freshDatabase()
    wire = await WireServer.start()
    environment = {
      DATABASE_URL: fresh.url,
      EVENTSTORE_URL: wire.url,
      DATA_DIR: await temporaryFolder(),
      SECRET: randomBytes(32).toString('base64url'),
    }
    server = await startServer(environment)
  }, 60_000)
  afterAll(async () => {
    await server.end('SIGKILL')
    await wire.close()
    await rm(environment.DATA_DIR!, { recursive: true, force: true })
    await fresh.drop()
  })

  it(`commands are 503 meanwhile and reads go on, also where it is there and does not answer; nothing is lost or doubled ${repeat}`, {
    timeout: 120_000 + points * 30_000,
  }, async () => {
    const random = randomOf(seed)
    const client = (): Client => new Client(() => server.url)
    const someone = client()
    await someone.signUp(`someone_${seed}`)
    const ask = asker(server, someone)
    await underLoad({ author: client(), writers: [client(), client(), client()], pauseMs: 10 }, async () => {
      for (let times = 0; times < points; times++) {
        await pause(random() * 800)
        const freezes = random() < 0.2
        if (freezes) wire.cable.freeze()
        else await wire.cable.refuse()
        // Long enough for everybody, or so short that it is waited for.
        if (times % 5 === 0) await expectUnavailable(ask, someone, [logAway])
        else await pause(random() * 1_500)
        if (freezes) wire.cable.thaw()
        else await wire.cable.listen()
      }
      await vi.waitFor(async () => expect((await ask('GET', '/readyz')).status).toBe(200), patience)
      await pause(500)
    })
    expect(await server.end('SIGTERM')).toBe(0)
    await expectVerified(environment)
  })
})

/** A way to a server that can be held: then bytes go nowhere and no connection breaks, as with a host that has frozen. */
async function heldWay(to: { host: string; port: number }) {
  const sockets = new Set<Socket>()
  let held = false
  const proxy = createServer(from => {
    const on = connect(to)
    for (const [one, other] of [
      [from, on],
      [on, from],
    ] as const) {
      sockets.add(one)
      one.on('data', bytes => other.write(bytes))
      one.on('error', () => other.destroy())
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
      if (held) one.pause()
    }
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  return {
    port: (proxy.address() as AddressInfo).port,
    hold(now: boolean): void {
      held = now
      for (const socket of sockets) now ? socket.pause() : socket.resume()
    },
    async close(): Promise<void> {
      for (const socket of sockets) socket.destroy()
      proxy.close()
      await once(proxy, 'close')
    },
  }
}

it('a Postgres that is there and does not answer keeps nobody waiting for long, and all goes on when it does', {
  timeout: 90_000,
}, async () => {
  const fresh = await freshDatabase()
  const dataDir = await temporaryFolder()
  const url = new URL(fresh.url)
  const way = await heldWay({ host: url.hostname, port: Number(url.port) })
  url.port = String(way.port)
  url.hostname = '127.0.0.1'
  const secret = randomBytes(32).toString('base64url')
  const server = await startServer({ DATABASE_URL: url.href, DATA_DIR: dataDir, SECRET: secret })
  try {
    const someone = new Client(() => server.url)
    await someone.signUp(`someone_${seed}`)
    way.hold(true)
    await expectUnavailable(asker(server, someone), someone, bothAway)
    way.hold(false)
    await someone.send('PATCH', '/me', { bio: 'Somebody else' })
    expect(await someone.send('GET', '/me')).toMatchObject({ bio: 'Somebody else' })
    expect(await server.end('SIGTERM')).toBe(0)
    await expectVerified({ DATABASE_URL: fresh.url, SECRET: secret })
  } finally {
    await server.end('SIGKILL')
    await way.close()
    await rm(dataDir, { recursive: true, force: true })
    await fresh.drop()
  }
})
