import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { AccountErased } from '../../src/domain/accounts/account.ts'
import { CommentDeleted } from '../../src/domain/comments/comment.ts'
import { Liked, type LikeEvent, Unliked } from '../../src/domain/likes/like.ts'
import { PostDeleted } from '../../src/domain/posts/post.ts'
import type { Event } from '../../src/kernel/events.ts'
import { runDdl } from '../../src/kernel/projecting/rebuild.ts'
import { likesModel } from '../../src/projections/likes/project.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'
import { batches, inBatches, projected, recorded } from '../support/projection.ts'

let kernel: TestKernel
beforeAll(async () => {
  kernel = await testKernel()
})
afterAll(() => kernel.close())

const [ada, ben, eve, photo, other, remark] = Array.from({ length: 6 }, () => randomUUID()) as [
  string,
  string,
  string,
  string,
  string,
  string,
]

const ofPost = (actorId: string, postId = photo, authorId = eve) => ({
  actorId,
  subject: { kind: 'post' as const, id: postId },
  postId,
  authorId,
})
const ofComment = (actorId: string, commentId = remark, postId = photo, authorId = ada) => ({
  actorId,
  subject: { kind: 'comment' as const, id: commentId },
  postId,
  authorId,
})
const deleted = (postId: string) => PostDeleted({ postId, authorId: eve, mediaIds: [], audience: { kind: 'public' } })
const removed = (commentId: string) =>
  CommentDeleted({ commentId, postId: photo, postAuthorId: eve, authorId: ada, parentId: null, deletedBy: ada })
const erased = (accountId: string) =>
  AccountErased({ accountId, erasureId: randomUUID(), handle: 'h', reservationId: randomUUID(), emailKey: null })

const rowsOf = (events: readonly Event[]) => projected(kernel.db, likesModel, events)

it('counts the likes of a post and of a comment apart', async () => {
  const { likes, counts } = await rowsOf([Liked(ofPost(ada)), Liked(ofPost(ben)), Liked(ofComment(ben))])
  expect(likes).toHaveLength(3)
  expect(counts).toEqual(
    expect.arrayContaining([
      { subject: photo, likes: 2 },
      { subject: remark, likes: 1 },
    ]),
  )
})

it('keeps the last word of a storm of toggles, with the position of the last like', async () => {
  const storm = [Liked, Unliked, Liked, Unliked, Liked].map(toggle => toggle(ofPost(ada)))
  const { likes, counts } = await rowsOf([...storm, Liked(ofPost(ben)), Unliked(ofPost(ben))])
  expect(likes).toMatchObject([{ actor: ada, position: 5 }])
  expect(counts).toEqual([{ subject: photo, likes: 1 }])
})

it('has no counter for what nobody likes', async () => {
  expect((await rowsOf([Liked(ofPost(ada)), Unliked(ofPost(ada))])).counts).toEqual([])
})

it('forgets the likes of a deleted post, also one that came too late', async () => {
  const { likes, counts } = await rowsOf([Liked(ofPost(ada)), Liked(ofPost(ada, other)), deleted(photo), Liked(ofPost(ben))])
  expect(likes).toMatchObject([{ subject: other }])
  expect(counts).toEqual([{ subject: other, likes: 1 }])
})

it('forgets the likes of a deleted comment, not those of its post', async () => {
  const { likes } = await rowsOf([Liked(ofPost(ada)), Liked(ofComment(ben)), removed(remark), Liked(ofComment(ada))])
  expect(likes).toMatchObject([{ subject: photo }])
})

it('forgets what an erased account likes and what it wrote, and lowers the counters', async () => {
  const { likes, counts } = await rowsOf([
    Liked(ofPost(ada)),
    Liked(ofPost(ben)),
    Liked(ofComment(ben)),
    erased(ada),
    Liked(ofPost(ada, other)),
  ])
  expect(likes).toMatchObject([{ subject: photo, actor: ben }])
  expect(counts).toEqual([{ subject: photo, likes: 1 }])
})

it('tells which posts changed', async () => {
  const schema = 'likes_topics'
  await runDdl(kernel.db, likesModel.ddl(schema, 'now'))
  const tell = (...events: Event[]) => kernel.db.transaction(tx => likesModel.projectInto(schema, recorded(events), tx))
  expect(await tell(Liked(ofPost(ada)), Liked(ofComment(ada)))).toEqual({ topics: [`post:${photo}`] })
  expect(await tell(Liked(ofPost(ada)))).toEqual({ topics: [] })
  expect(await tell(erased(ada))).toEqual({ topics: [`post:${photo}`] })
})

/** The same in memory, event by event. */
function inMemory(events: readonly Event[]): { likes: string[]; counts: Record<string, number> } {
  const rows = new Map<string, LikeEvent['data']>()
  const gone = new Set<string>()
  const idsOf = ({ subject, actorId, authorId }: LikeEvent['data']) => [subject.id, actorId, authorId]
  for (const event of events) {
    if (event.type === 'Liked' || event.type === 'Unliked') {
      const data = event.data as LikeEvent['data']
      const key = `${data.subject.id} ${data.actorId}`
      if (event.type === 'Unliked') rows.delete(key)
      else if (!idsOf(data).some(id => gone.has(id))) rows.set(key, data)
      continue
    }
    const { postId, commentId, accountId } = event.data as { postId?: string; commentId?: string; accountId?: string }
    const id = (accountId ?? commentId ?? postId)!
    gone.add(id)
    for (const [key, data] of rows) if (idsOf(data).includes(id)) rows.delete(key)
  }
  const counts: Record<string, number> = {}
  for (const { subject } of rows.values()) counts[subject.id] = (counts[subject.id] ?? 0) + 1
  return { likes: [...rows.keys()].sort(), counts }
}

it('comes out as a simple model in memory, whatever happens in whatever batches', async () => {
  const accounts = [ada, ben, eve]
  const posts = [photo, other]
  const comments = Array.from({ length: 2 }, () => randomUUID())
  const account = fc.constantFrom(...accounts)
  // Whose a post or comment is, and where it stands, never changes.
  const like = fc.oneof(
    fc.tuple(account, fc.nat(1)).map(([actor, n]) => ofPost(actor, posts[n]!, accounts[n]!)),
    fc.tuple(account, fc.nat(1)).map(([actor, n]) => ofComment(actor, comments[n]!, posts[n]!, accounts[n + 1]!)),
  )
  const event = fc.oneof(
    { weight: 12, arbitrary: like.map(data => Liked(data) as Event) },
    { weight: 6, arbitrary: like.map(data => Unliked(data) as Event) },
    { weight: 1, arbitrary: fc.constantFrom(...posts).map(id => deleted(id) as Event) },
    { weight: 1, arbitrary: fc.constantFrom(...comments).map(id => removed(id) as Event) },
    { weight: 1, arbitrary: account.map(id => erased(id) as Event) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 40 }), batches, async (events, { sizes, times }) => {
      const { likes, counts } = await inBatches(kernel.db, likesModel, events, sizes, times)
      expect({
        likes: likes!.map(({ subject, actor }) => `${subject} ${actor}`).sort(),
        counts: Object.fromEntries(counts!.map(row => [row.subject, row.likes])),
      }).toEqual(inMemory(events))
    }),
    { numRuns: 60 },
  )
})
