import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { AccountErased } from '../../src/domain/accounts/account.ts'
import { CommentAdded, CommentDeleted, CommentEdited } from '../../src/domain/comments/comment.ts'
import { Liked, Unliked } from '../../src/domain/likes/like.ts'
import { notificationIds } from '../../src/domain/notifications/notifications.ts'
import { NotificationsSeen } from '../../src/domain/notifications/seen.ts'
import { PostDeleted, PostPublished } from '../../src/domain/posts/post.ts'
import { Followed, FollowRequestEnded, FollowRequested, Unfollowed } from '../../src/domain/relationships/relationship.ts'
import type { Event } from '../../src/kernel/events.ts'
import { anyRow } from '../../src/kernel/projecting/notes.ts'
import { notificationsModel } from '../../src/projections/notifications/project.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'
import { batches, inBatches, projected, type Rows } from '../support/projection.ts'

let kernel: TestKernel
beforeAll(async () => {
  kernel = await testKernel()
})
afterAll(() => kernel.close())

const ids = Array.from({ length: 7 }, () => randomUUID()) as [string, string, string, string, string, string, string]
const [ada, ben, eve, photo, other, remark, answer] = ids

const like = (actorId: string, subjectId = photo, authorId = ada) =>
  ({
    actorId,
    subject: { kind: subjectId === photo || subjectId === other ? 'post' : 'comment', id: subjectId },
    postId: photo,
    authorId,
  }) as const
const said = (commentId: string, authorId: string, repliedToId: string | null = null, mentionIds: string[] = []) =>
  CommentAdded({
    commentId,
    postId: photo,
    postAuthorId: ada,
    authorId,
    parentId: repliedToId === null ? null : remark,
    repliedToId,
    text: 'What light!',
    mentionIds,
  })
const unsaid = (commentId: string, authorId: string) =>
  CommentDeleted({ commentId, postId: photo, postAuthorId: ada, authorId, parentId: null, deletedBy: authorId })
const deleted = (postId: string) => PostDeleted({ postId, authorId: ada, mediaIds: [], audience: { kind: 'public' } })
const erased = (accountId: string) =>
  AccountErased({ accountId, erasureId: randomUUID(), handle: 'h', reservationId: randomUUID(), emailKey: null })
const pair = (followerId: string, followeeId = ada) => ({ followerId, followeeId })
const followed = (followerId: string, minute = 0) => ({ ...Followed({ ...pair(followerId), accepted: false }), minute })
const unfollowed = (followerId: string) => Unfollowed({ ...pair(followerId), reason: 'unfollowed' })
const day = 24 * 60

const rowsOf = (events: readonly (Event & { minute?: number })[]) => projected(kernel.db, notificationsModel, events)

it('groups the likes of a post, and of a comment apart', async () => {
  const { notifications, acts } = await rowsOf([
    Liked(like(ben)),
    Liked(like(eve)),
    Liked(like(eve, remark, ben)),
    Liked(like(ada)),
  ])
  expect(notifications).toHaveLength(2)
  expect(notifications).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ account: ada, type: 'like', post: photo, comment: null, count: 2, first: 1, position: 2 }),
      expect.objectContaining({ account: ben, type: 'like', post: photo, comment: remark, count: 1, first: 3, position: 3 }),
    ]),
  )
  expect(acts).toHaveLength(3)
})

it('takes an unlike back, and is not told of the same like anew', async () => {
  const { notifications } = await rowsOf([Liked(like(ben)), Liked(like(eve)), Unliked(like(ben)), Liked(like(ben))])
  expect(notifications).toMatchObject([{ count: 2, first: 1, position: 2 }])
  expect((await rowsOf([Liked(like(ben)), Unliked(like(ben))])).notifications).toMatchObject([{ count: 0 }])
})

it('groups the follows of a day, and forgets who follows no more', async () => {
  const { notifications } = await rowsOf([
    followed(ben),
    followed(eve),
    unfollowed(eve),
    followed(eve, day),
    unfollowed(ben),
    followed(ben),
  ])
  expect(notifications).toHaveLength(2)
  expect(notifications).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ type: 'follow', count: 1, first: 1, position: 2 }),
      expect.objectContaining({ type: 'follow', count: 1, first: 4, position: 4 }),
    ]),
  )
})

it('tells of a request until it is answered or taken back, then of its acceptance until the follow ends', async () => {
  const asked = FollowRequested(pair(ben))
  expect((await rowsOf([asked])).notifications).toMatchObject([{ account: ada, type: 'follow_request' }])
  const withdrawn = await rowsOf([asked, FollowRequestEnded({ ...pair(ben), reason: 'withdrawn' })])
  expect([withdrawn.notifications, withdrawn.changes]).toEqual([[], [{ key: ada, owner: false, position: 2 }]])
  const accepted = [asked, Followed({ ...pair(ben), accepted: true })]
  expect((await rowsOf(accepted)).notifications).toMatchObject([{ account: ben, type: 'follow_accepted' }])
  const { notifications, acts } = await rowsOf([...accepted, unfollowed(ben)])
  expect([notifications, acts]).toEqual([[], []])
})

it('tells each account of a comment once, whatever it becomes', async () => {
  const edited = { commentId: remark, postId: photo, postAuthorId: ada, authorId: ben, parentId: null, text: 'x' }
  const { notifications } = await rowsOf([
    said(remark, ben),
    CommentEdited({ ...edited, mentionIds: [ada, eve], addedMentionIds: [ada, eve] }),
  ])
  expect(notifications).toHaveLength(2)
  expect(notifications).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ id: notificationIds.words(remark, ada), account: ada, type: 'comment', position: 1 }),
      expect.objectContaining({ id: notificationIds.words(remark, eve), account: eve, type: 'mention', position: 2 }),
    ]),
  )
})

it('forgets what is told of a deleted comment and of its replies, also what came too late', async () => {
  const { notifications } = await rowsOf([
    said(remark, ben),
    said(answer, eve, ben),
    Liked(like(ben, answer, eve)),
    Liked(like(eve)),
    unsaid(remark, ben),
    Liked(like(ada, answer, eve)),
    said(randomUUID(), eve, ben),
  ])
  expect(notifications).toMatchObject([{ account: ada, type: 'like', post: photo, comment: null }])
})

it('forgets what is told of a deleted post', async () => {
  const { notifications, acts } = await rowsOf([said(remark, ben), Liked(like(eve)), deleted(photo), Liked(like(ben))])
  expect([notifications, acts]).toEqual([[], []])
})

it('forgets what an erased account is told and what it did', async () => {
  const { notifications, acts, seen } = await rowsOf([
    Liked(like(ben)),
    Liked(like(eve)),
    said(remark, ben),
    said(answer, eve, ben),
    NotificationsSeen({ accountId: ben, upTo: 4 }),
    erased(ben),
    Liked(like(ben)),
  ])
  expect(notifications).toMatchObject(
    expect.arrayContaining([
      expect.objectContaining({ type: 'like', count: 1, position: 2 }),
      expect.objectContaining({ account: ada, type: 'comment', comment: answer }),
    ]),
  )
  expect(notifications).toHaveLength(2)
  expect(acts!.map(({ actor }) => actor)).toEqual([eve, eve])
  expect(seen).toEqual([])
})

it('mentions in captions are told, and seen goes only ahead', async () => {
  const content = { caption: null, hashtags: null, altTexts: null, location: null, audience: { kind: 'public' } as const }
  const { notifications, seen } = await rowsOf([
    PostPublished({ postId: photo, authorId: ada, mediaIds: [], comments: 'everyone', mentionIds: [ben], ...content }),
    NotificationsSeen({ accountId: ben, upTo: 5 }),
    NotificationsSeen({ accountId: ben, upTo: 3 }),
  ])
  expect(notifications).toMatchObject([{ account: ben, type: 'mention', post: photo }])
  expect(seen).toEqual([{ account: ben, position: 5 }])
})

const accounts = [ada, ben, eve]
const kinds = (() => {
  const account = fc.constantFrom(...accounts)
  // Whose a post or comment is, and where it stands, never changes.
  const authors = { [photo]: ada, [remark]: ben, [answer]: eve }
  const liking = fc.tuple(account, fc.constantFrom(photo, remark, answer)).map(([actor, id]) => like(actor, id, authors[id]!))
  const following = fc.tuple(account, account).filter(([one, two]) => one !== two)
  const weighted: { weight: number; arbitrary: fc.Arbitrary<Event & { minute?: number }> }[] = [
    { weight: 20, arbitrary: liking.map(data => Liked(data)) },
    { weight: 12, arbitrary: liking.map(data => Unliked(data)) },
    {
      weight: 8,
      arbitrary: fc
        .tuple(following, fc.nat(2))
        .map(([[one, two], n]) => ({ ...Followed({ ...pair(one, two), accepted: n === 2 }), minute: n * day })),
    },
    { weight: 6, arbitrary: following.map(([one, two]) => Unfollowed({ ...pair(one, two), reason: 'unfollowed' })) },
    { weight: 3, arbitrary: following.map(([one, two]) => FollowRequested(pair(one, two))) },
    { weight: 2, arbitrary: following.map(([one, two]) => FollowRequestEnded({ ...pair(one, two), reason: 'withdrawn' })) },
    { weight: 3, arbitrary: fc.constant(said(remark, ben)) },
    { weight: 3, arbitrary: fc.constant(said(answer, eve, ben, [ada])) },
    { weight: 1, arbitrary: fc.constant(unsaid(remark, ben)) },
    { weight: 1, arbitrary: fc.constant(deleted(photo)) },
    { weight: 1, arbitrary: account.map(erased) },
    { weight: 2, arbitrary: fc.tuple(account, fc.nat(30)).map(([accountId, upTo]) => NotificationsSeen({ accountId, upTo })) },
  ]
  return weighted
})()
const anyEvents = fc.array(fc.oneof(...kinds), { maxLength: 40, size: 'max' })

it('counts who acts, whatever happened, in whatever batches', async () => {
  await fc.assert(
    fc.asyncProperty(anyEvents, batches, async (events, { sizes, times }) => {
      const rows = await inBatches(kernel.db, notificationsModel, events, sizes, times)
      expect(rows).toEqual(await inBatches(kernel.db, notificationsModel, events, [1]))
      const active = (id: unknown): number =>
        rows.acts!.filter(({ notification, active }) => notification === id && active).length
      for (const { id, count } of rows.notifications!) expect(count).toBe(active(id))
      const there = new Set(rows.notifications!.map(({ id }) => id))
      for (const { notification } of rows.acts!) expect(there).toContain(notification)
    }),
    { numRuns: 30 },
  )
}, 120_000)

it('notes whose list has changed, but for what went with its post or comment', async () => {
  /** What each account is told of what still stands. */
  const lists = ({ notifications, acts, seen }: Rows, gone: ReadonlySet<unknown>) =>
    new Map(
      accounts.map(account => [
        account,
        JSON.stringify([
          seen!.filter(row => row.account === account),
          notifications!
            .filter(row => row.account === account && !gone.has(row.post) && !gone.has(row.comment))
            .map(row => [row, acts!.filter(({ notification }) => notification === row.id)]),
        ]),
      ]),
    )
  await fc.assert(
    fc.asyncProperty(
      anyEvents,
      fc.array(fc.oneof(...kinds.map(({ arbitrary }) => arbitrary)), { minLength: 1, maxLength: 2 }),
      async (events, more) => {
        const before = await inBatches(kernel.db, notificationsModel, events, [40])
        const after = await inBatches(kernel.db, notificationsModel, [...events, ...more], [40])
        const gone = new Set(after.gone!.map(({ id }) => id))
        const noted = new Set(after.changes!.flatMap(({ key, position }) => ((position as number) > events.length ? [key] : [])))
        const then = lists(before, gone)
        for (const [account, now] of lists(after, gone))
          if (now !== then.get(account)) expect([...noted].filter(key => key === account || key === anyRow)).not.toEqual([])
      },
    ),
    { numRuns: 60 },
  )
}, 120_000)
