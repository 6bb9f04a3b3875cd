import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { reactionsOf } from '../../src/reactions/all.ts'
import { Client } from './client.ts'
import { expectVerified, logOf, oneOf, points, published, randomOf, repeat, seed, underLoad } from './load.ts'
import { freePort, type ServerProcess, startServer } from './server.ts'
import { temporaryFolder } from './temporary.ts'

const patience = { timeout: 30_000, interval: 100 }

/** What the processes stand on. */
export type Engines = {
  readonly environment: Readonly<Record<string, string>>
  /** What may happen to them: each is over, and what went away is back, when it resolves. */
  readonly faults: readonly ((random: () => number) => Promise<void>)[]
  end(): Promise<void>
}

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

  async end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | undefined> {
    const { server } = this
    this.server = null
    return server?.end(signal)
  }
}

/** Tests of two api, two projectors and two reactors on engines: under load, whatever of it is killed. Those `can` not run where there is no nats-server. */
export function fleetTests({ on, open, can }: { on: string; open: () => Promise<Engines>; can: boolean }): void {
  describe.skipIf(!can)(`two of each role on ${on}${can ? '' : ', for want of nats-server'}`, () => {
    let engines: Engines
    let dataDir: string
    let environment: Record<string, string>
    const fleet: Member[] = []
    /** Two api, two projectors, two reactors. */
    const member = (n: number): Member => fleet[n]!
    const at = ({ url }: Member): Client => new Client(() => url)

    beforeAll(async () => {
      engines = await open()
      dataDir = await temporaryFolder()
      environment = { ...engines.environment, DATA_DIR: dataDir, SECRET: randomBytes(32).toString('base64url') }
      for (const role of ['api', 'api', 'projector', 'projector', 'reactor', 'reactor']) {
        const PORT = String(await freePort())
        fleet.push(new Member(role, { ...environment, ROLE: role, PORT }))
      }
      await Promise.all(fleet.map(member => member.start()))
    }, 120_000)
    afterAll(async () => {
      await Promise.all(fleet.map(member => member.end('SIGKILL')))
      await engines.end()
      await rm(dataDir, { recursive: true, force: true })
    })

    async function ask<Row extends pg.QueryResultRow>(statement: string, values: unknown[] = []): Promise<Row[]> {
      const database = new pg.Client({ connectionString: environment.DATABASE_URL })
      await database.connect()
      try {
        return (await database.query<Row>(statement, values)).rows
      } finally {
        await database.end()
      }
    }

    /** Waits until so many processes hold the consumers of a role, and all are held. */
    const heldBy = (role: 'projector' | 'reactor', by: number): Promise<void> =>
      vi.waitFor(async () => {
        const found = await ask(
          `select bool_and(lease_until > now()) as all, count(distinct holder)::int as by from kernel.consumers
           where (key like 'reaction%') = $1`,
          [role === 'reactor'],
        )
        expect(found).toEqual([{ all: true, by }])
      }, patience)

    it('share the work out, and each tells operators how it is', async () => {
      await heldBy('projector', 2)
      await heldBy('reactor', 2)
      for (const { url, role } of fleet) {
        for (const path of ['/healthz', '/readyz', '/metrics', '/ops']) expect((await fetch(url + path)).status).toBe(200)
        expect((await fetch(`${url}/v1/me`)).status).toBe(role === 'api' ? 401 : 404)
      }
    })

    /** What reactions were to bring about, and how often they did, by what it was about. */
    const wanted = { told: [] as string[], accepted: [] as string[], discarded: [] as string[] }
    async function done(): Promise<typeof wanted> {
      const log = (await logOf(environment)).map(({ type, data }) => ({ type, data: data as Record<string, string> }))
      const mails = await ask<{ account_id: string }>('select account_id from kernel.outbox')
      const of = (type: string, field: string): string[] =>
        log.filter(event => event.type === type).map(({ data }) => data[field]!)
      return {
        told: mails.map(({ account_id }) => account_id).sort(),
        accepted: of('Followed', 'followerId')
          .filter(id => wanted.accepted.includes(id))
          .sort(),
        discarded: of('MediaDiscarded', 'mediaId').sort(),
      }
    }
    const sorted = (): typeof wanted => ({
      told: wanted.told.toSorted(),
      accepted: wanted.accepted.toSorted(),
      discarded: wanted.discarded.toSorted(),
    })

    /** A mail (somebody signs up with an address that is taken), the files of a deleted post, a request to be accepted later. */
    async function provoke(n: number, host: Client): Promise<void> {
      const [holder, other] = [at(member(n % 2)), at(member((n + 1) % 2))]
      await holder.signUp(`holder_${n}_${seed}`)
      await other.signUp(`other_${n}_${seed}`, `holder_${n}_${seed}@example.org`)
      wanted.told.push(holder.id)
      const postId = await published(holder)
      const { media } = await holder.send('GET', `/posts/${postId}`)
      await holder.send('DELETE', `/posts/${postId}`)
      wanted.discarded.push(media[0].id)
      expect((await other.send('PUT', `/accounts/${host.id}/follow`)).state).toBe('requested')
      wanted.accepted.push(other.id)
    }

    it(`lose and double nothing through ${points} faults, the kill of any process among them, and a freeze; effects are there once each ${repeat}`, {
      timeout: 180_000 + points * 20_000,
    }, async () => {
      const random = randomOf(seed)
      let restarting: Promise<unknown> = Promise.resolve()
      const kill = async (): Promise<void> => {
        const alive = fleet.filter(({ server }) => server !== null)
        if (alive.length === 0) return
        const member = oneOf(alive, random)
        await member.end('SIGKILL')
        restarting = Promise.all([restarting, member.start()])
      }
      const fault = async (): Promise<void> => {
        if (engines.faults.length === 0 || random() < 0.5) return kill()
        // Whoever starts needs all parts.
        await restarting
        await oneOf(engines.faults, random)(random)
      }
      const host = at(member(0))
      await host.signUp(`host_${seed}`)
      await host.send('PUT', '/me/account-type', { type: 'private' })
      // The author listens at one node; what they hear of is mostly written at the other.
      const writers = [1, 1, 0].map(n => at(member(n)))
      await underLoad({ author: at(member(0)), writers, pauseMs: 30 }, async () => {
        for (let n = 0; n < points; n++) {
          const provoked = provoke(n, host)
          await pause(300 + random() * 900)
          await fault()
          await provoked
          if (n !== points >> 1) continue
          await restarting
          await heldBy('projector', 2)
          const frozen = oneOf(
            fleet.filter(({ role }) => role === 'projector'),
            random,
          )
          frozen.server!.child.kill('SIGSTOP')
          await heldBy('projector', 1)
          frozen.server!.child.kill('SIGCONT')
          await heldBy('projector', 2)
        }
        await host.send('PUT', '/me/account-type', { type: 'personal' })
        await kill()
        await restarting
        await pause(300)
      })
      await vi.waitFor(async () => expect(await done()).toEqual(sorted()), { timeout: 60_000, interval: 500 })
      expect(await Promise.all(fleet.map(member => member.end('SIGTERM')))).toEqual(fleet.map(() => 0))
      await expectVerified(environment)
      expect(await done()).toEqual(sorted())
    })

    /** Does again all that reactions ever did, as a process does that died before it could note how far it was. */
    async function reactAgain(): Promise<void> {
      // Of what does not concern it a consumer need not note that it has passed it.
      const log = await logOf(environment)
      const last = reactionsOf({} as Parameters<typeof reactionsOf>[0]).map(({ name, events }) => ({
        key: `reaction_${name}`,
        position: log.findLast(({ type }) => events.some(event => event.type === type))?.position ?? 0,
      }))
      await ask(`update kernel.consumers set checkpoint = 0 where key like 'reaction%'`)
      const again = fleet.filter(({ role }, n) => role !== 'api' && fleet.findIndex(other => other.role === role) === n)
      await Promise.all(again.map(member => member.start()))
      for (const { key, position } of last) {
        const passed = () => ask(`select key from kernel.consumers where key = $1 and checkpoint >= $2`, [key, position])
        await vi.waitFor(async () => expect(await passed(), key).toHaveLength(1), { timeout: 60_000, interval: 100 })
      }
      await Promise.all(again.map(member => member.end('SIGTERM')))
    }

    it('would see an effect twice: reactions that begin again add nothing, unless what a mail is known by is forgotten', {
      timeout: 180_000,
    }, async () => {
      await reactAgain()
      expect(await done()).toEqual(sorted())
      await ask(`update kernel.outbox set key = key || ' forgotten'`)
      await reactAgain()
      expect(await done()).toEqual({ ...sorted(), told: [...wanted.told, ...wanted.told].sort() })
    })

    it('would see a gap: a client that comes back without its last id misses what was said meanwhile', {
      timeout: 120_000,
    }, async () => {
      await Promise.all(fleet.map(member => member.start()))
      const [a, b] = [member(0), member(1)]
      const author = at(a)
      await author.signUp(`listener_${seed}`)
      const postId = await published(author)
      const writer = at(b)
      await writer.signUp(`speaker_${seed}`)
      const say = (text: string): Promise<unknown> => writer.send('POST', `/posts/${postId}/comments`, { text })
      const elsewhere = at(b)
      elsewhere.accessToken = author.accessToken
      const listening = await Promise.all([author.live(), author.live(false), elsewhere.live()])
      const heard = (): string[][] =>
        listening.map(({ messages }) =>
          messages.flatMap(({ type, data }) => (type === 'notification.created' ? [data.notification.comment.text] : [])),
        )
      const spoken: string[] = []
      /** Speaks until the one without an id has heard something: it hears from when it has connected. */
      const speak = async (): Promise<void> => {
        const before = heard()[1]!.length
        await vi.waitFor(async () => {
          spoken.push(`${spoken.length}`)
          await say(spoken.at(-1)!)
          await vi.waitFor(() => expect(heard()[1]!.length).toBeGreaterThan(before), { timeout: 1_000 })
        }, patience)
      }
      await speak()
      await a.end('SIGKILL')
      await say('meanwhile')
      spoken.push('meanwhile')
      await vi.waitFor(() => expect(heard()[2]).toEqual(spoken), patience)
      await a.start()
      await speak()
      await vi.waitFor(() => expect(heard()[0]).toEqual(spoken), patience)
      expect(heard()[1]).not.toContain('meanwhile')
      for (const each of listening) each.end()
    })
  })
}
