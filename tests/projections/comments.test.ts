import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { AccountErased } from '../../src/domain/accounts/account.ts'
import { CommentAdded, CommentDeleted, CommentEdited } from '../../src/domain/comments/comment.ts'
import { PostDeleted } from '../../src/domain/posts/post.ts'
import type { Event } from '../../src/kernel/events.ts'
import { runDdl } from '../../src/kernel/projecting/rebuild.ts'
import { commentsModel } from '../../src/projections/comments/project.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'
import { batches, inBatches, projected, recorded } from '../support/projection.ts'

let kernel: TestKernel
beforeAll(async () => {
  kernel = await testKernel()
})
afterAll(() => kernel.close())

type Place = { commentId: string; postId: string; postAuthorId: string; authorId: string; parentId: string | null }

const [ada, ben, eve, photo, other, first, second, reply] = Array.from({ length: 8 }, () => randomUUID()) as [
  string,
  string,
  string,
  string,
  string,
  string,
  string,
  string,
]

const place = (
  commentId: string,
  authorId: string,
  parentId: string | null = null,
  postId = photo,
  postAuthorId = eve,
): Place => ({
  commentId,
  postId,
  postAuthorId,
  authorId,
  parentId,
})
const added = (at: Place, text: string | null = 'What light!', mentionIds: string[] = []) =>
  CommentAdded({ ...at, repliedToId: null, text, mentionIds })
const edited = (at: Place, text: string, mentionIds: string[] = []) =>
  CommentEdited({ ...at, text, mentionIds, addedMentionIds: [] })
const removed = (at: Place) => CommentDeleted({ ...at, deletedBy: at.authorId })
const deleted = (postId: string) => PostDeleted({ postId, authorId: eve, mediaIds: [], audience: { kind: 'public' } })
const erased = (accountId: string) =>
  AccountErased({ accountId, erasureId: randomUUID(), handle: 'h', reservationId: randomUUID(), emailKey: null })

const byAda = place(first, ada)
const byBen = place(second, ben)
const benToAda = place(reply, ben, first)

const rowsOf = (events: readonly Event[]) => projected(kernel.db, commentsModel, events)

it('keeps comments and replies, and counts them for the post and for the comment', async () => {
  const { comments, counts, replies } = await rowsOf([added(byAda, 'Hm', [ben]), added(byBen), added(benToAda)])
  expect(comments).toHaveLength(3)
  expect(comments).toContainEqual(
    expect.objectContaining({ id: first, text: 'Hm', mention_ids: [ben], position: 1, edited_at: null }),
  )
  expect(counts).toEqual([{ post: photo, comments: 3 }])
  expect(replies).toEqual([{ comment: first, replies: 1 }])
})

it('shows the last edit', async () => {
  const { comments } = await rowsOf([added(byAda), edited(byAda, 'one'), edited(byAda, 'two', [ben])])
  expect(comments).toMatchObject([{ text: 'two', mention_ids: [ben], position: 1 }])
  expect(comments![0]!.edited_at).not.toBeNull()
})

it('takes the replies of a deleted comment along, also one that came too late', async () => {
  const late = place(randomUUID(), eve, first)
  const { comments, counts, replies } = await rowsOf([added(byAda), added(benToAda), added(byBen), removed(byAda), added(late)])
  expect(comments).toMatchObject([{ id: second }])
  expect(counts).toEqual([{ post: photo, comments: 1 }])
  expect(replies).toEqual([])
})

it('lowers the counters for a deleted reply', async () => {
  const { counts, replies } = await rowsOf([added(byAda), added(benToAda), removed(benToAda)])
  expect(counts).toEqual([{ post: photo, comments: 1 }])
  expect(replies).toEqual([])
})

it('forgets all under a deleted post, also what came too late', async () => {
  const elsewhere = place(randomUUID(), ada, null, other)
  const { comments, counts } = await rowsOf([added(byAda), added(benToAda), added(elsewhere), deleted(photo), added(byBen)])
  expect(comments).toMatchObject([{ id: elsewhere.commentId }])
  expect(counts).toEqual([{ post: other, comments: 1 }])
})

it('forgets what an erased account wrote, the replies to that, and all under its posts', async () => {
  const gone = await rowsOf([added(byAda), added(benToAda), added(byBen), erased(ada), added(place(randomUUID(), eve, first))])
  expect(gone.comments).toMatchObject([{ id: second }])
  expect(gone.counts).toEqual([{ post: photo, comments: 1 }])
  expect((await rowsOf([added(byAda), added(byBen), erased(eve), added(benToAda)])).comments).toEqual([])
})

it('bears the null text of a person who is erased', async () => {
  expect((await rowsOf([added(byAda, null)])).comments).toMatchObject([{ text: null }])
})

it('tells which posts changed', async () => {
  const schema = 'comments_topics'
  await runDdl(kernel.db, commentsModel.ddl(schema, 'now'))
  const tell = (...events: Event[]) => kernel.db.transaction(tx => commentsModel.projectInto(schema, recorded(events), tx))
  expect(await tell(added(byAda), added(benToAda))).toEqual({ topics: [`post:${photo}`] })
  expect(await tell(added(byAda))).toEqual({ topics: [] })
  expect(await tell(erased(ada))).toEqual({ topics: [`post:${photo}`] })
})

/** The same in memory, event by event. */
function inMemory(events: readonly Event[]) {
  const rows = new Map<string, Place & { text: string | null }>()
  const gone = new Set<string>()
  const idsOf = (at: Place) => [at.commentId, at.postId, at.postAuthorId, at.authorId]
  for (const { type, data } of events) {
    const at = data as Place & { text: string | null; accountId?: string }
    if (type === 'CommentAdded') {
      if (!idsOf(at).some(id => gone.has(id)) && (at.parentId === null || rows.has(at.parentId))) rows.set(at.commentId, at)
    } else if (type === 'CommentEdited') {
      const row = rows.get(at.commentId)
      if (row !== undefined) rows.set(at.commentId, { ...row, text: at.text })
    } else {
      const id = type === 'AccountErased' ? at.accountId! : type === 'PostDeleted' ? at.postId : at.commentId
      gone.add(id)
      for (const row of [...rows.values()]) if (idsOf(row).includes(id)) rows.delete(row.commentId)
      for (const row of [...rows.values()]) if (row.parentId !== null && !rows.has(row.parentId)) rows.delete(row.commentId)
    }
  }
  const count = (keys: (string | null)[]) => {
    const counts: Record<string, number> = {}
    for (const key of keys) if (key !== null) counts[key] = (counts[key] ?? 0) + 1
    return counts
  }
  const left = [...rows.values()]
  return {
    comments: Object.fromEntries(left.map(({ commentId, text }) => [commentId, text])),
    counts: count(left.map(({ postId }) => postId)),
    replies: count(left.map(({ parentId }) => parentId)),
  }
}

it('comes out as a simple model in memory, whatever happens in whatever batches', async () => {
  const accounts = [ada, ben, eve]
  const posts = [photo, other]
  // Ten comments: four at the top of two posts, six replies to them; each can come once, as its stream is made once.
  const tops = Array.from({ length: 4 }, (_, n) =>
    place(randomUUID(), accounts[n % 3]!, null, posts[n % 2], accounts[(n % 2) + 1]),
  )
  const all = [
    ...tops,
    ...Array.from({ length: 6 }, (_, n) => ({
      ...tops[n % 4]!,
      commentId: randomUUID(),
      authorId: accounts[n % 3]!,
      parentId: tops[n % 4]!.commentId,
    })),
  ]
  const step = fc.record({
    kind: fc.constantFrom('edit', 'edit', 'edit', 'remove', 'delete', 'erase'),
    n: fc.nat(9),
    at: fc.nat(30),
    text: fc.string(),
  })
  const events = fc.tuple(fc.shuffledSubarray(all), fc.array(step, { maxLength: 12 })).map(([comments, steps]) => {
    // A parent stands before its replies, and every comment's own events after it was added.
    const log: Event[] = comments
      .toSorted((a, b) => Number(a.parentId !== null) - Number(b.parentId !== null))
      .map(at => added(at))
    for (const { kind, n, at, text } of steps) {
      const comment = all[n]!
      const begun = log.findIndex(({ type, data }) => type === 'CommentAdded' && (data as Place).commentId === comment.commentId)
      const ended = log.findIndex(
        ({ type, data }) => type === 'CommentDeleted' && (data as Place).commentId === comment.commentId,
      )
      const where = Math.min(begun + 1 + at, log.length, ended === -1 || ended <= begun ? log.length : ended)
      if (kind === 'delete') log.splice(Math.min(at, log.length), 0, deleted(posts[n % 2]!))
      else if (kind === 'erase') log.splice(Math.min(at, log.length), 0, erased(accounts[n % 3]!))
      else if (begun === -1) continue
      else if (kind === 'edit') log.splice(where, 0, edited(comment, text.replaceAll('\0', '')))
      else if (ended === -1) log.push(removed(comment))
    }
    return log
  })
  await fc.assert(
    fc.asyncProperty(events, batches, async (events, { sizes, times }) => {
      const { comments, counts, replies } = await inBatches(kernel.db, commentsModel, events, sizes, times)
      expect({
        comments: Object.fromEntries(comments!.map(row => [row.id, row.text])),
        counts: Object.fromEntries(counts!.map(row => [row.post, row.comments])),
        replies: Object.fromEntries(replies!.map(row => [row.comment, row.replies])),
      }).toEqual(inMemory(events))
    }),
    { numRuns: 60 },
  )
})
