import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { EmbeddedEventStore } from '../../src/adapters/eventstore/embedded.ts'
import { database, openPool } from '../../src/adapters/postgres/database.ts'
import { PostgresKeyStore } from '../../src/adapters/postgres/keys.ts'
import { allEvents } from '../../src/domain/events.ts'
import { Codec } from '../../src/kernel/codec.ts'
import { verify } from '../../src/kernel/projecting/verify.ts'
import { Secrets } from '../../src/kernel/secrets.ts'
import { readModels } from '../../src/projections/models.ts'
import { picture } from '../support/app.ts'
import { Client } from '../support/client.ts'
import { freshDatabase } from '../support/database.ts'
import { freePort, type ServerProcess, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary.ts'

/** How often the server is killed; `FAULT_SEED` repeats a run. */
const kills = Number(process.env.FAULT_KILLS ?? 5)
const seed = Number(process.env.FAULT_SEED ?? randomBytes(4).readUInt32LE())

/** mulberry32: small, and the same everywhere. */
function randomOf(start: number): () => number {
  let state = start >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

let fresh: Awaited<ReturnType<typeof freshDatabase>>
let dataDir: string
let environment: Record<string, string>
let server: ServerProcess

beforeAll(async () => {
  fresh = await freshDatabase()
  dataDir = await temporaryFolder()
  environment = {
    DATABASE_URL: fresh.url,
    DATA_DIR: dataDir,
    SECRET: randomBytes(32).toString('base64url'),
    PORT: String(await freePort()),
  }
  server = await startServer(environment)
}, 60_000)

afterAll(async () => {
  await server.end('SIGKILL')
  await rm(dataDir, { recursive: true, force: true })
  await fresh.drop()
})

const client = (key = true): Client => new Client(() => server.url, key)

async function restart(signal: NodeJS.Signals, file?: string): Promise<void> {
  await server.end(signal)
  server = await startServer(environment, file)
}

/** Every comment of a post, page by page. */
async function commentsOf(reader: Client, postId: string): Promise<string[]> {
  const texts: string[] = []
  for (let cursor: string | null = null; ; ) {
    const page = await reader.send('GET', `/posts/${postId}/comments?limit=100${cursor === null ? '' : `&cursor=${cursor}`}`)
    texts.push(...page.items.map(({ text }: { text: string }) => text))
    cursor = page.nextCursor
    if (cursor === null) return texts
  }
}

async function published(author: Client): Promise<string> {
  const { id } = await author.send('POST', '/media', await picture())
  return (await author.send('POST', '/posts', { media: [{ id }] })).id
}

it(`loses and doubles nothing that was acknowledged through ${kills} kills (FAULT_SEED=${seed})`, {
  timeout: 60_000 + kills * 20_000,
}, async () => {
  const random = randomOf(seed)
  const author = client()
  await author.signUp(`author_${seed}`)
  const postId = await published(author)
  const listening = author.live()
  const writers = await Promise.all(
    Array.from({ length: 8 }, async (_, n) => {
      const writer = client()
      await writer.signUp(`writer_${n}_${seed}`)
      return writer
    }),
  )
  const said: string[] = []
  const liked = new Map<Client, boolean>()
  const follows = new Map<Client, boolean>()
  let writing = true
  const work = writers.map(async (writer, n) => {
    const own = randomOf(seed + n + 1)
    for (let step = 0; writing; step++) {
      const text = `comment ${n}.${step}`
      await writer.send('POST', `/posts/${postId}/comments`, { text })
      said.push(text)
      const like = own() < 0.5
      await writer.send(like ? 'PUT' : 'DELETE', `/posts/${postId}/like`)
      liked.set(writer, like)
      if (own() < 0.3) {
        const follow = own() < 0.5
        await writer.send(follow ? 'PUT' : 'DELETE', `/accounts/${author.id}/follow`)
        follows.set(writer, follow)
      }
    }
  })
  for (let kill = 0; kill < kills; kill++) {
    await pause(300 + random() * 900)
    await restart('SIGKILL')
  }
  await pause(300)
  writing = false
  await Promise.all(work)

  const found = await commentsOf(author, postId)
  expect([...found].sort()).toEqual([...said].sort())
  for (const [writer, like] of liked) expect((await writer.send('GET', `/posts/${postId}`)).viewer.liked).toBe(like)
  for (const [writer, follow] of follows) expect((await writer.send('GET', `/accounts/${author.id}`)).viewer.follows).toBe(follow)
  const { counts } = await author.send('GET', `/posts/${postId}`)
  expect(counts).toMatchObject({ comments: said.length, likes: [...liked.values()].filter(like => like).length })

  // Every comment was told live, once, whatever the connection went through.
  const told = (): string[] =>
    listening.messages.flatMap(({ type, data }) =>
      type === 'notification.created' && data.notification.type === 'comment' ? [data.notification.comment.text] : [],
    )
  await vi.waitFor(() => expect(told().length).toBeGreaterThanOrEqual(said.length), { timeout: 20_000 })
  listening.end()
  expect(told().sort()).toEqual([...said].sort())
  expect(listening.messages.filter(({ type }) => type === 'resync')).toEqual([])

  await server.end('SIGTERM')
  await expectVerified()
  server = await startServer(environment)
})

/** Read models equal a rebuild, row for row. */
async function expectVerified(): Promise<void> {
  const pool = openPool(fresh.url, 6, () => {})
  const db = database(pool)
  const store = new EmbeddedEventStore(pool)
  const codec = new Codec(allEvents, new PostgresKeyStore(db, new Secrets(environment.SECRET!).key('master')))
  try {
    for (const model of readModels) expect(await verify({ db, store, codec }, model)).toMatchObject({ differences: [], more: 0 })
  } finally {
    await store.close()
    await pool.end()
  }
}

it('would see a loss: a server that acknowledges before the log has it loses a like at the next kill', {
  timeout: 60_000,
}, async () => {
  const author = client()
  await author.signUp(`careful_${seed}`)
  const postId = await published(author)
  await restart('SIGTERM', 'tests/support/careless-server.ts')
  expect((await author.send('PUT', `/posts/${postId}/like`)).viewer.liked).toBe(true)
  await restart('SIGKILL')
  expect((await author.send('GET', `/posts/${postId}`)).viewer.liked).toBe(false)
  await author.send('PUT', `/posts/${postId}/like`)
  await restart('SIGKILL')
  expect((await author.send('GET', `/posts/${postId}`)).viewer.liked).toBe(true)
})

it('would see a double: a client that repeats without an Idempotency-Key comments twice', { timeout: 60_000 }, async () => {
  const keyed = client()
  await keyed.signUp(`keyed_${seed}`)
  const postId = await published(keyed)
  const keyless = client(false)
  keyless.accessToken = keyed.accessToken
  for (const [who, times] of [
    [keyless, 2],
    [keyed, 1],
  ] as const) {
    const text = `said ${times} times`
    // The answer is lost: the client only knows that it got none, and sends the same again.
    const headers = {
      Authorization: `Bearer ${who.accessToken}`,
      'Content-Type': 'application/json',
      ...(who.key ? { 'Idempotency-Key': 'one-comment' } : {}),
    }
    const send = (): Promise<Response> =>
      fetch(`${server.url}/v1/posts/${postId}/comments`, { method: 'POST', headers, body: JSON.stringify({ text }) })
    await (await send()).text()
    await restart('SIGKILL')
    const again = await send()
    who.token = again.headers.get('consistency-token')
    expect((await commentsOf(who, postId)).filter(one => one === text)).toHaveLength(times)
  }
})
