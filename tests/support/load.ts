import { setTimeout as pause } from 'node:timers/promises'
import { expect, vi } from 'vitest'
import { database, openPool } from '../../src/adapters/postgres/database.ts'
import { PostgresKeyStore } from '../../src/adapters/postgres/keys.ts'
import { openRoot } from '../../src/adapters/postgres/root.ts'
import { allEvents } from '../../src/domain/events.ts'
import { Codec } from '../../src/kernel/codec.ts'
import type { LoggedEvent } from '../../src/kernel/events.ts'
import { verify } from '../../src/kernel/projecting/verify.ts'
import { Secrets } from '../../src/kernel/secrets.ts'
import { readModels } from '../../src/projections/models.ts'
import { picture } from './app.ts'
import type { Client } from './client.ts'
import { openStore } from './engines.ts'
import { eventsBehind } from './log.ts'

/** How many faults each seeded test lets happen: `FAULT_POINTS`, see vitest.config.ts. */
export const points = Number(process.env.FAULT_POINTS)
/** What chooses them and when, `FAULT_SEED`: a run with the same seed is the same run, as far as processes let it. */
export const seed = Number(process.env.FAULT_SEED)
/** Ends the name of each seeded test, so that its failure says how to repeat it. */
export const repeat = `(FAULT_POINTS=${points} FAULT_SEED=${seed})`

/** Numbers from 0 to 1, the same ones for the same start: mulberry32, small and the same everywhere. */
export function randomOf(start: number): () => number {
  let state = start >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** One of them, by the next of the numbers. */
export const oneOf = <T>(things: readonly T[], random: () => number): T => things[Math.floor(random() * things.length)]!

/** Every comment of a post, page by page. */
export async function commentsOf(reader: Client, postId: string): Promise<string[]> {
  const texts: string[] = []
  for (let cursor: string | null = null; ; ) {
    const page = await reader.send('GET', `/posts/${postId}/comments?limit=100${cursor === null ? '' : `&cursor=${cursor}`}`)
    texts.push(...page.items.map(({ text }: { text: string }) => text))
    cursor = page.nextCursor
    if (cursor === null) return texts
  }
}

/** Posts one new picture. Answers the post's id. */
export async function published(author: Client): Promise<string> {
  const { id } = await author.send('POST', '/media', await picture())
  return (await author.send('POST', '/posts', { media: [{ id }] })).id
}

/**
 * While `faults` go on, clients comment, like and follow; then nothing that was acknowledged is lost or doubled, neither in what is read nor in what
 * the author was told live.
 * @param author who posts and listens @param writers who write; all are signed up here @param pauseMs between a writer's rounds
 */
export async function underLoad(
  { author, writers, pauseMs = 0 }: { author: Client; writers: readonly Client[]; pauseMs?: number },
  faults: () => Promise<void>,
): Promise<void> {
  await author.signUp(`author_${seed}`)
  const postId = await published(author)
  const listening = await author.live()
  await Promise.all(writers.map((writer, n) => writer.signUp(`writer_${n}_${seed}`)))
  const said: string[] = []
  const liked = new Map<Client, boolean>()
  const follows = new Map<Client, boolean>()
  let writing = true
  const work = Promise.all(
    writers.map(async (writer, n) => {
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
        if (pauseMs > 0) await pause(pauseMs)
      }
    }),
  )
  // One that is refused for good ends the run at once.
  await Promise.race([
    work.then(() => {
      throw new Error('the load ended by itself')
    }),
    faults(),
  ])
  writing = false
  await work

  // As new as the newest of the writers' commands: what has been there once stays.
  for (const { token } of writers) {
    author.token = token
    await author.send('GET', `/posts/${postId}`)
  }
  expect(liked.size).toBe(writers.length)
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
  const untold = (): string[] => {
    const all = new Set(told())
    return said.filter(text => !all.has(text))
  }
  await vi.waitFor(() => expect(untold()).toEqual([]), { timeout: 20_000 })
  listening.end()
  expect(told().sort()).toEqual([...said].sort())
  expect(listening.messages.filter(({ type }) => type === 'resync')).toEqual([])
}

/** All that a deployment has written, by the environment that it runs in. */
export async function logOf(environment: Readonly<Record<string, string>>): Promise<LoggedEvent[]> {
  const pool = openPool(environment.DATABASE_URL!, 3, () => {})
  const store = await openStore(environment, pool)
  try {
    return await eventsBehind(store, 0)
  } finally {
    await store.close()
    await pool.end()
  }
}

/** Read models equal a rebuild, row for row. @param environment that the server ran in, with DATABASE_URL and SECRET */
export async function expectVerified(environment: Readonly<Record<string, string>>): Promise<void> {
  const pool = openPool(environment.DATABASE_URL!, 6, () => {})
  const db = database(pool)
  const store = await openStore(environment, pool)
  const secrets = new Secrets(environment.SECRET!)
  await openRoot(db, secrets)
  const codec = new Codec(allEvents, new PostgresKeyStore(db, () => secrets.key('master')))
  try {
    for (const model of readModels) expect(await verify({ db, store, codec }, model)).toMatchObject({ differences: [], more: 0 })
  } finally {
    await store.close()
    await pool.end()
  }
}
