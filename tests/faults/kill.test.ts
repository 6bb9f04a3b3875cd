import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Client } from '../support/client.ts'
import { freshDatabase } from '../support/database.ts'
import { environmentOf } from '../support/engines.ts'
import { commentsOf, expectVerified, points, published, randomOf, repeat, seed, underLoad } from '../support/load.ts'
import { freePort, type ServerProcess, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary.ts'

let fresh: Awaited<ReturnType<typeof freshDatabase>>
let dataDir: string
let environment: Record<string, string>
let server: ServerProcess

beforeAll(async () => {
  fresh = await freshDatabase()
  dataDir = await temporaryFolder()
  environment = {
    ...environmentOf(fresh.url),
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

/** @param without the guard of the careless server that is switched off */
async function restart(signal: NodeJS.Signals, without?: 'log'): Promise<void> {
  await server.end(signal)
  server = await (without === undefined
    ? startServer(environment)
    : startServer({ ...environment, WITHOUT: without }, 'tests/support/careless-server.ts'))
}

it(`loses and doubles nothing that was acknowledged through ${points} kills ${repeat}`, {
  timeout: 60_000 + points * 20_000,
}, async () => {
  const random = randomOf(seed)
  await underLoad({ author: client(), writers: Array.from({ length: 8 }, () => client()) }, async () => {
    for (let kill = 0; kill < points; kill++) {
      await pause(300 + random() * 900)
      await restart('SIGKILL')
    }
    await pause(300)
  })
  await server.end('SIGTERM')
  await expectVerified(environment)
  server = await startServer(environment)
})

it('would see a loss: a server that acknowledges before the log has it loses a like at the next kill', {
  timeout: 60_000,
}, async () => {
  const author = client()
  await author.signUp(`careful_${seed}`)
  const postId = await published(author)
  await restart('SIGTERM', 'log')
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
