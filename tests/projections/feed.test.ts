import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { AccountErased } from '../../src/domain/accounts/account.ts'
import { FanOutResumed, FanOutStopped } from '../../src/domain/feed/fan-out.ts'
import { PostDeleted, PostPublished } from '../../src/domain/posts/post.ts'
import { Followed, Unfollowed } from '../../src/domain/relationships/relationship.ts'
import type { Event } from '../../src/kernel/events.ts'
import { type Db, sql } from '../../src/kernel/sql.ts'
import { feedModel, feedModelOf } from '../../src/projections/feed/project.ts'
import { feedRows } from '../../src/projections/feed/queries.ts'
import { relationshipsModel } from '../../src/projections/relationships/project.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'
import { batches, inBatches, projected, recorded } from '../support/projection.ts'

let kernel: TestKernel
beforeAll(async () => {
  kernel = await testKernel([feedModel, relationshipsModel])
})
afterAll(() => kernel.close())
beforeEach(() => empty())

const empty = async (): Promise<void> => {
  const tables = Object.keys(feedModel.tables).map(table => `${feedModel.key}.${table}`)
  await kernel.db.run(sql.raw(`truncate ${tables.join(', ')}`))
}

const [ada, ben, eve] = Array.from({ length: 3 }, () => randomUUID()) as [string, string, string]

const published = (authorId: string, postId: string = randomUUID()) =>
  PostPublished({
    postId,
    authorId,
    mediaIds: [],
    caption: null,
    hashtags: null,
    altTexts: null,
    location: null,
    mentionIds: [],
    audience: { kind: 'public' },
    comments: 'everyone',
  })
const deleted = (authorId: string, postId: string) =>
  PostDeleted({ postId, authorId, mediaIds: [], audience: { kind: 'public' } })
const followed = (followerId: string, followeeId: string) => Followed({ followerId, followeeId, accepted: false })
const unfollowed = (followerId: string, followeeId: string) => Unfollowed({ followerId, followeeId, reason: 'unfollowed' })
const erased = (accountId: string) =>
  AccountErased({ accountId, erasureId: randomUUID(), handle: 'h', reservationId: randomUUID(), emailKey: null })
const stopped = (authorId: string) => FanOutStopped({ authorId, followers: 1 })
const resumed = (authorId: string) => FanOutResumed({ authorId, followers: 1 })

/** Fills the served tables. */
const project = async (events: readonly Event[], model: typeof feedModel = feedModel, size = 1_000): Promise<void> => {
  const log = recorded(events)
  for (let start = 0; start < log.length; start += size) {
    await kernel.db.transaction(tx => model.projectInto(model.key, log.slice(start, start + size), tx))
  }
}

/** The whole feed, page by page. */
const feed = async (viewerId: string, n = 7): Promise<string[]> => {
  const ids: string[] = []
  for (let after = Number.MAX_SAFE_INTEGER; ; ) {
    const rows = await feedRows(kernel.db, { viewerId, after, n })
    ids.push(...rows.map(({ id }) => id))
    if (rows.length < n) return ids
    after = rows.at(-1)!.position
  }
}

const count = async (table: 'entries' | 'floors', viewer: string): Promise<number> => {
  const [row] = await kernel.db.run<{ n: number }>(
    sql`select count(*)::int as n from ${feedModel.t[table]} where viewer = ${viewer}`,
  )
  return row!.n
}

it('holds the own posts and those of the accounts followed, newest first', async () => {
  const [a, b, c, d] = Array.from({ length: 4 }, () => randomUUID()) as [string, string, string, string]
  await project([followed(ada, ben), published(ada, a), published(ben, b), published(eve, c), published(ben, d)])
  expect(await feed(ada)).toEqual([d, b, a])
  expect(await feed(eve)).toEqual([c])
})

it('gets older posts by a new follow and loses them with it', async () => {
  const [a, b] = [randomUUID(), randomUUID()]
  await project([published(ben, a), published(ben, b), followed(ada, ben)])
  expect(await feed(ada)).toEqual([b, a])
  await empty()
  await project([published(ben, a), published(ben, b), followed(ada, ben), unfollowed(ada, ben)])
  expect(await feed(ada)).toEqual([])
  expect(await feed(ben)).toEqual([b, a])
})

it('loses deleted posts, and all of an erased account', async () => {
  const [a, b] = [randomUUID(), randomUUID()]
  const { edges, entries, posts } = await projected(kernel.db, feedModel, [
    followed(ada, ben),
    followed(ben, ada),
    published(ben, a),
    published(ada, b),
    deleted(ben, a),
    published(ben),
    erased(ben),
    followed(eve, ben),
    published(ben),
  ])
  expect(posts).toMatchObject([{ post: b }])
  expect(edges).toMatchObject([{ viewer: ada, author: ada }])
  expect(entries).toMatchObject([{ viewer: ada, position: 4 }])
})

/** So many posts, of which every 60th is a mark. */
const many = (authorId: string, count: number) =>
  Array.from({ length: count }, (_, n) => published(authorId, `${n % 60 === 59 ? '80' : '81'}${randomUUID().slice(2)}`))
const idsOf = (events: readonly ReturnType<typeof published>[]): string[] => events.map(({ data }) => data.postId)

it('keeps some 500 ready and finds the older ones by their authors, without gap or double', async () => {
  const [others, own] = [many(ben, 900), many(ada, 600)]
  await project([...others, followed(ada, ben), ...own])
  expect(await feed(ada, 100)).toEqual(idsOf([...others, ...own]).reverse())
  expect(await count('entries', ada)).toBe(7 * 60 + 1)
  expect(await count('entries', ben)).toBe(7 * 60 + 1)
})

it('brings some 500 older posts by one follow, and knows that there are more', async () => {
  const others = many(ben, 600)
  await project([...others, followed(ada, ben)])
  expect(await count('entries', ada)).toBe(7 * 60 + 1)
  expect(await feed(ada, 60)).toEqual(idsOf(others).reverse())
  // Those that are older than what is ready come with nobody whom they follow later.
  await empty()
  await project([...others, ...many(eve, 600), followed(ada, eve), followed(ada, ben)])
  expect(await count('entries', ada)).toBe(7 * 60 + 1)
  expect(await feed(ada, 100)).toHaveLength(1_200)
})

it('brings no more than that of an author who has deleted their marks', async () => {
  const others = many(ben, 1_500)
  const gone = others.filter((_, n) => n % 60 === 59).map(({ data }) => deleted(ben, data.postId))
  await project([...others, ...gone, followed(ada, ben)])
  expect(await count('entries', ada)).toBe(7 * 59)
  expect(await feed(ada, 100)).toHaveLength(1_500 - gone.length)
})

it('looks up the posts of authors whose fan-out is stopped, before and after and across it', async () => {
  const posts = Array.from({ length: 5 }, () => randomUUID()) as [string, string, string, string, string]
  const [first, second, third, fourth, fifth] = posts
  await project([
    followed(ada, ben),
    published(ben, first),
    stopped(ben),
    published(ben, second),
    followed(eve, ben),
    published(ben, third),
    resumed(ben),
    published(ben, fourth),
    deleted(ben, third),
    published(eve, fifth),
  ])
  expect(await feed(ada, 2)).toEqual([fourth, second, first])
  expect(await feed(eve, 2)).toEqual([fifth, fourth, second, first])
  const ready = await kernel.db.run<{ viewer: string }>(sql`select viewer from ${feedModel.t.entries} where position = 4`)
  expect(ready).toEqual([])
})

/** A small feed, so that a short log crosses its borders. */
const small = feedModelOf({ isMark: postId => postId < '8', marks: 2 })

it('has no gap and no double where a floor rises while a page is read', async () => {
  const [plain, mark] = ['9', '0'].map(first => () => published(ada, `${first}${randomUUID().slice(1)}`)) as [
    () => ReturnType<typeof published>,
    () => ReturnType<typeof published>,
  ]
  const own = [plain(), mark(), plain(), plain(), mark(), plain()]
  await project(own, small)
  // From the older of two marks on.
  expect(await count('entries', ada)).toBe(5)
  const later = [mark(), mark()]
  let statements = 0
  const racing: Db = {
    run: statement => kernel.db.run(statement),
    runCompiled: (name, text, values) => kernel.db.runCompiled(name, text, values),
    async runArrays(name, text, values) {
      const answer = await kernel.db.runArrays(name, text, values)
      if (++statements === 1) await project([...own, ...later], small)
      return answer
    },
  }
  const rows = await feedRows(racing, { viewerId: ada, after: Number.MAX_SAFE_INTEGER, n: 6 })
  expect(statements).toBe(2)
  expect(rows.map(({ id }) => id)).toEqual(idsOf(own).reverse())
  expect(await count('entries', ada)).toBe(2)
})

const logs = fc
  .array(
    fc.oneof(
      { weight: 24, arbitrary: fc.record({ do: fc.constant('publish' as const), by: fc.nat(3), id: fc.uuid({ version: 4 }) }) },
      { weight: 15, arbitrary: fc.record({ do: fc.constant('follow' as const), by: fc.nat(3), of: fc.nat(3) }) },
      { weight: 6, arbitrary: fc.record({ do: fc.constant('unfollow' as const), by: fc.nat(3), of: fc.nat(3) }) },
      { weight: 6, arbitrary: fc.record({ do: fc.constant('delete' as const), nth: fc.nat(9) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('stop' as const), by: fc.nat(3) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('resume' as const), by: fc.nat(3) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('erase' as const), by: fc.nat(3) }) },
    ),
    { maxLength: 60, size: 'max' },
  )
  .map(steps => {
    const accounts = Array.from({ length: 4 }, () => randomUUID())
    const events: Event[] = []
    const follows = new Set<string>()
    const gone = new Set<string>()
    let posts: { id: string; author: string }[] = []
    for (const step of steps) {
      const by = 'by' in step ? accounts[step.by]! : ''
      const of = 'of' in step ? accounts[step.of]! : ''
      if (step.do === 'publish') {
        // What comes after an erasure was under way: it must leave nothing.
        if (!gone.has(by)) posts.push({ id: step.id, author: by })
        events.push(published(by, step.id))
      } else if (step.do === 'follow' && by !== of && !follows.has(`${by} ${of}`)) {
        if (!gone.has(by) && !gone.has(of)) follows.add(`${by} ${of}`)
        events.push(followed(by, of))
      } else if (step.do === 'unfollow' && follows.delete(`${by} ${of}`)) events.push(unfollowed(by, of))
      else if (step.do === 'delete') {
        const [post] = posts.splice(step.nth, 1)
        if (post !== undefined) events.push(deleted(post.author, post.id))
      } else if (step.do === 'stop') events.push(stopped(by))
      else if (step.do === 'resume') events.push(resumed(by))
      else if (step.do === 'erase') {
        gone.add(by)
        posts = posts.filter(({ author }) => author !== by)
        for (const follow of follows) if (follow.includes(by)) follows.delete(follow)
        events.push(erased(by))
      }
    }
    const feeds = accounts.map(viewer =>
      posts
        .filter(({ author }) => author === viewer || follows.has(`${viewer} ${author}`))
        .map(({ id }) => id)
        .reverse(),
    )
    return { accounts, events, feeds }
  })

it('is the newest posts of the accounts followed, whatever happened, in whatever batches', async () => {
  await fc.assert(
    fc.asyncProperty(logs, batches, fc.integer({ min: 1, max: 5 }), async ({ accounts, events, feeds }, { sizes, times }, n) => {
      await empty()
      await project(events, small, sizes[0])
      for (const [index, viewer] of accounts.entries()) expect(await feed(viewer, n)).toEqual(feeds[index])
      const rows = await inBatches(kernel.db, small, events, [1])
      expect(await inBatches(kernel.db, small, events, sizes, times)).toEqual(rows)
      expect(await inBatches(kernel.db, small, events, sizes, times, 'filling')).toEqual(rows)
    }),
    { numRuns: 30 },
  )
}, 120_000)
