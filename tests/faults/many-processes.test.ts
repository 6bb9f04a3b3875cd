import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { Client } from '../support/client.ts'
import { freshDatabase } from '../support/database.ts'
import { environmentOf } from '../support/engines.ts'
import { expectVerified, points, randomOf, repeat, seed, underLoad } from '../support/load.ts'
import { hasNats, runNats } from '../support/nats.ts'
import { freePort, type ServerProcess, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary.ts'

const without = hasNats ? '' : ', for want of nats-server'
const patience = { timeout: 30_000, interval: 100 }

/** A process of the deployment, at an address that stays. */
class Member {
  readonly role: string
  readonly environment: Record<string, string>
  readonly url: string
  server: ServerProcess | null = null

  constructor(role: string, environment: Record<string, string>) {
    this.role = role
    this.environment = environment
    this.url = `http://127.0.0.1:${environment.PORT}`
  }

  async start(): Promise<void> {
    this.server = await startServer(this.environment)
  }

  async kill(): Promise<void> {
    const { server } = this
    this.server = null
    await server?.end('SIGKILL')
  }
}

describe.skipIf(!hasNats)(`two of each role on Postgres and NATS${without}`, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let nats: Awaited<ReturnType<typeof runNats>>
  let dataDir: string
  let environment: Record<string, string>
  let database: pg.Client
  const fleet: Member[] = []

  beforeAll(async () => {
    fresh = await freshDatabase()
    nats = await runNats()
    dataDir = await temporaryFolder()
    environment = {
      NAMESPACE: 'fleet',
      NATS_URL: nats.url,
      ...environmentOf(fresh.url),
      DATA_DIR: dataDir,
      SECRET: randomBytes(32).toString('base64url'),
    }
    database = new pg.Client({ connectionString: fresh.url })
    await database.connect()
    for (const role of ['api', 'api', 'projector', 'projector', 'reactor', 'reactor']) {
      const PORT = String(await freePort())
      fleet.push(new Member(role, { ...environment, ROLE: role, PORT }))
    }
    await Promise.all(fleet.map(member => member.start()))
  }, 90_000)
  afterAll(async () => {
    await Promise.all(fleet.map(member => member.kill()))
    await database.end()
    await nats.end()
    await rm(dataDir, { recursive: true, force: true })
    await fresh.drop()
  })

  /** How many processes hold the consumers of a role, and whether all are held. */
  async function held(role: 'projector' | 'reactor'): Promise<{ all: boolean; by: number }> {
    const { rows } = await database.query(
      `select bool_and(lease_until > now()) as all, count(distinct holder)::int as by from kernel.consumers
       where (key like 'reaction%') = $1`,
      [role === 'reactor'],
    )
    return rows[0]
  }

  const heldBy = (role: 'projector' | 'reactor', by: number): Promise<void> =>
    vi.waitFor(async () => expect(await held(role)).toEqual({ all: true, by }), patience)

  it('share the work out, and each tells operators how it is', async () => {
    await heldBy('projector', 2)
    await heldBy('reactor', 2)
    for (const { url, role } of fleet) {
      for (const path of ['/healthz', '/readyz', '/metrics', '/ops']) expect((await fetch(url + path)).status).toBe(200)
      expect((await fetch(`${url}/v1/me`)).status).toBe(role === 'api' ? 401 : 404)
    }
  })

  it(`lose and double nothing that was acknowledged, through ${points} kills and a freeze ${repeat}`, {
    timeout: 120_000 + points * 20_000,
  }, async () => {
    const random = randomOf(seed)
    const [a, b] = fleet as [Member, Member]
    const at = ({ url }: Member): Client => new Client(() => url)
    let restarting: Promise<unknown> = Promise.resolve()
    const kill = async (): Promise<void> => {
      const alive = fleet.filter(({ server }) => server !== null)
      const member = alive[Math.floor(random() * alive.length)]
      if (member === undefined) return
      await member.kill()
      restarting = Promise.all([restarting, member.start()])
    }
    // The author listens at one node; what they hear of is mostly written at the other.
    await underLoad({ author: at(a), writers: [at(b), at(b), at(a)], pauseMs: 30 }, async () => {
      for (let n = 0; n < points; n++) {
        await pause(300 + random() * 900)
        await kill()
        if (n !== points >> 1) continue
        await restarting
        await heldBy('projector', 2)
        const frozen = fleet.filter(({ role }) => role === 'projector')[random() < 0.5 ? 0 : 1]!
        frozen.server!.child.kill('SIGSTOP')
        await heldBy('projector', 1)
        frozen.server!.child.kill('SIGCONT')
        await heldBy('projector', 2)
      }
      await restarting
      await pause(300)
    })
    expect(await Promise.all(fleet.map(({ server }) => server!.end('SIGTERM')))).toEqual(fleet.map(() => 0))
    await expectVerified(environment)
  })
})
