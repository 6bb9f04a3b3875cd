import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openPool } from '../../src/adapters/postgres/database.ts'
import { type LikeCommand, like, likeStream } from '../../src/domain/likes/like.ts'
import type { LoggedEvent } from '../../src/kernel/events.ts'
import { createExecute, type Execute } from '../../src/kernel/execute.ts'
import type { EventStore } from '../../src/kernel/ports/event-store.ts'
import { environmentOf, openStore } from '../support/engines.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'

let kernel: TestKernel
let close: () => Promise<void>
let elsewhereStore: EventStore

beforeAll(async () => {
  kernel = await testKernel()
  const pool = openPool(kernel.url, 4, () => {})
  const store = await openStore(environmentOf(kernel.url), pool)
  elsewhereStore = store
  close = async () => {
    await store.close()
    await pool.end()
    await kernel.close()
  }
})
afterAll(() => close())

const actor = { id: null, sessionId: null, correlationId: 'test' }
const node = (store: EventStore): Execute => createExecute(store, kernel.codec, { now: Date.now })

/** Likes here, unlikes on another node, likes here again. Answers whether the log ends liked. */
async function likeUnlikeElsewhereLikeAgain(here: Execute): Promise<boolean> {
  const [actorId, postId, authorId] = [randomUUID(), randomUUID(), randomUUID()]
  const subject = { kind: 'post', id: postId } as const
  const stream = likeStream(actorId, subject)
  const say = (execute: Execute, type: LikeCommand['type']) =>
    execute(like, stream, { type, actorId, subject, postId, authorId }, actor)
  await say(here, 'Like')
  await say(node(elsewhereStore), 'Unlike')
  const again = await say(here, 'Like')
  expect(again.state.liked).toBe(true)
  return (await kernel.store.read(stream)).at(-1)?.type === 'Liked'
}

it('a like is a like again though another node took it back', async () => {
  expect(await likeUnlikeElsewhereLikeAgain(node(kernel.store))).toBe(true)
})

it('would see it: a node that trusts its cache where it decides nothing loses the second like', async () => {
  const remembered = new Map<string, readonly LoggedEvent[]>()
  const trusting: EventStore = {
    maxEventBytes: kernel.store.maxEventBytes,
    positionsPerEvent: 1,
    subscribe: options => kernel.store.subscribe(options),
    head: () => kernel.store.head(),
    close: async () => {},
    async append(stream, events, expected) {
      const appended = await kernel.store.append(stream, events, expected)
      remembered.set(stream, await kernel.store.read(stream))
      return appended
    },
    // What it knew when it wrote last, as a cache that is never asked anew.
    read: async stream => remembered.get(stream) ?? kernel.store.read(stream),
  }
  expect(await likeUnlikeElsewhereLikeAgain(node(trusting))).toBe(false)
})

it('an unlike that finds nothing to do has looked at the log after it came', async () => {
  const [actorId, postId, authorId] = [randomUUID(), randomUUID(), randomUUID()]
  const subject = { kind: 'post', id: postId } as const
  const stream = likeStream(actorId, subject)
  const here = node(kernel.store)
  const unlike = { type: 'Unlike', actorId, subject, postId, authorId } as const
  expect(await here(like, stream, unlike, actor)).toMatchObject({ events: [], position: 0 })
  const { position } = await node(elsewhereStore)(like, stream, { ...unlike, type: 'Like' }, actor)
  const taken = await here(like, stream, unlike, actor)
  expect(taken.events).toHaveLength(1)
  expect(taken.position).toBeGreaterThan(position)
})
