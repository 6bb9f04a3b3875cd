import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/adapters/postgres/embedded.ts'
import { Client } from '../support/client.ts'
import { freshDatabase } from '../support/database.ts'
import { expectVerified, seed, underLoad } from '../support/load.ts'
import { type Nats, natsServer, startNats } from '../support/nats.ts'
import { type ServerProcess, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary.ts'

const without = natsServer === null ? ', for want of nats-server' : ''
const patience = { timeout: 30_000, interval: 50 }
/** What counts as hanging: a client gives up. */
const patient = (): AbortSignal => AbortSignal.timeout(15_000)

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

  it(`nodes keep serving, and live misses and doubles nothing (FAULT_SEED=${seed})`, { timeout: 90_000 }, async () => {
    const [a, b] = nodes as [ServerProcess, ServerProcess]
    const at = ({ url }: ServerProcess): Client => new Client(() => url)
    const writers = [at(b), at(b), at(a)]
    await underLoad({ author: at(a), writers, pauseMs: 20 }, async () => {
      for (const [times, signal] of (['SIGKILL', 'SIGTERM'] as const).entries()) {
        await pause(500)
        await nats.end(signal)
        await said('NATS is away', times + 1)
        for (const { url } of nodes) expect((await fetch(`${url}/readyz`, { signal: patient() })).status).toBe(200)
        // Time for the load to go on without it.
        await pause(1_000)
        nats = await startNats(Number(new URL(nats.url).port))
        await said('NATS is back', times + 1)
      }
      await pause(500)
    })
    expect(await Promise.all(nodes.map(node => node.end('SIGTERM')))).toEqual([0, 0])
    await expectVerified(fresh.url, secret)
  })
})

describe('Postgres away and back', () => {
  let postgres: EmbeddedPostgres
  let folder: string
  let dataDir: string
  let secret: string
  let server: ServerProcess
  const startPostgres = async (): Promise<void> => {
    const settings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }
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

  it(`is 503 meanwhile, and goes on by itself with nothing lost or doubled (FAULT_SEED=${seed})`, {
    timeout: 120_000,
  }, async () => {
    const client = (): Client => new Client(() => server.url)
    const someone = client()
    await someone.signUp(`someone_${seed}`)
    const ask = (method: string, path: string, body?: unknown): Promise<Response> =>
      fetch(`${server.url}${path}`, {
        method,
        headers: { Authorization: `Bearer ${someone.accessToken}`, 'Content-Type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: patient(),
      })
    await underLoad({ author: client(), writers: [client(), client(), client()] }, async () => {
      for (let times = 0; times < 2; times++) {
        await pause(500)
        await postgres.stop()
        for (const [method, path, body] of [
          ['GET', '/v1/me'],
          ['GET', '/v1/feed'],
          ['PATCH', '/v1/me', { name: 'Somebody else' }],
          ['POST', '/v1/live/tickets'],
          ['POST', '/v1/sessions', { login: `someone_${seed}`, password: 'a long and winding password' }],
          ['POST', '/v1/accounts', { username: 'late', email: 'late@example.org', password: 'a long and winding password' }],
          ['PUT', `/v1/accounts/${someone.id}/follow`],
        ] as const) {
          const answer = await ask(method, path, body)
          expect(answer.status, `${method} ${path}: ${await answer.text()}`).toBe(503)
          expect(answer.headers.get('retry-after'), `${method} ${path}`).toMatch(/^\d+$/)
        }
        const ready = await ask('GET', '/readyz')
        expect(ready.status).toBe(503)
        expect(await ready.text()).toContain('the database does not answer')
        expect((await ask('GET', '/healthz')).status).toBe(200)
        expect((await ask('GET', '/metrics')).status).toBe(200)
        await startPostgres()
      }
      await vi.waitFor(async () => expect((await ask('GET', '/readyz')).status).toBe(200), patience)
      await pause(500)
    })
    expect(await server.end('SIGTERM')).toBe(0)
    await expectVerified(postgres.url, secret)
  })
})
