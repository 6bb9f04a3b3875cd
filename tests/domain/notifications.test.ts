import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { CommentAdded, CommentEdited } from '../../src/domain/comments/comment.ts'
import { Liked, Unliked } from '../../src/domain/likes/like.ts'
import { type NotifyingEvent, notificationIds, notificationsOf } from '../../src/domain/notifications/notifications.ts'
import { NotificationsSeen, seen } from '../../src/domain/notifications/seen.ts'
import { PostPublished } from '../../src/domain/posts/post.ts'
import { Followed, FollowRequested } from '../../src/domain/relationships/relationship.ts'
import { isId } from '../../src/kernel/ids.ts'
import { given } from '../support/domain.ts'
import { recorded } from '../support/projection.ts'

const [ada, ben, eve, fay, post, comment] = Array.from({ length: 6 }, () => randomUUID()) as [
  string,
  string,
  string,
  string,
  string,
  string,
]

const of = (event: NotifyingEvent) => notificationsOf(recorded([event])[0]!)
/** Who is told what. */
const told = (event: NotifyingEvent) => of(event).map(({ accountId, type }) => [accountId, type])

const said = (mentionIds: string[], repliedToId: string | null = null, authorId = ben) =>
  CommentAdded({
    commentId: comment,
    postId: post,
    postAuthorId: ada,
    authorId,
    parentId: repliedToId === null ? null : randomUUID(),
    repliedToId,
    text: 'What light!',
    mentionIds,
  })

describe('seeing', () => {
  const see = (upTo: number) => ({ type: 'See', accountId: ada, upTo }) as const
  it('goes ahead', () =>
    given(seen)
      .when(see(3))
      .then([NotificationsSeen({ accountId: ada, upTo: 3 })]))
  it('never goes back', () =>
    given(seen, NotificationsSeen({ accountId: ada, upTo: 3 }))
      .when(see(2))
      .then([]))
})

describe('who is told', () => {
  it('the post’s author of a comment', () => expect(told(said([]))).toEqual([[ada, 'comment']]))
  it('nobody of their own', () => expect(told(said([ada], ada, ada))).toEqual([]))
  it('each account once, of a reply before a mention before a comment', () =>
    expect(told(said([ada, eve, fay, ben], eve))).toEqual([
      [eve, 'reply'],
      [ada, 'mention'],
      [fay, 'mention'],
    ]))
  it('those whom an edit mentions anew, under the ids that the comment had', () => {
    const data = { commentId: comment, postId: post, postAuthorId: ada, authorId: ben, parentId: null, text: 'x' }
    const edited = of(CommentEdited({ ...data, mentionIds: [ada, eve], addedMentionIds: [ada] }))
    expect(edited).toMatchObject([{ accountId: ada, type: 'mention', commentId: comment }])
    expect(edited[0]!.notificationId).toBe(of(said([]))[0]!.notificationId)
  })
  it('those whom a caption mentions', () => {
    const content = { caption: null, hashtags: null, altTexts: null, location: null, audience: { kind: 'public' } as const }
    const data = { postId: post, authorId: ada, mediaIds: [], comments: 'everyone' as const, ...content }
    expect(told(PostPublished({ ...data, mentionIds: [ben, ada, ben] }))).toEqual([[ben, 'mention']])
  })
  it('the author of what is liked, and nobody of the like’s end', () => {
    const like = { actorId: ben, subject: { kind: 'comment', id: comment } as const, postId: post, authorId: eve }
    expect(of(Liked(like))).toEqual([
      {
        notificationId: notificationIds.likes(comment),
        accountId: eve,
        type: 'like',
        actorId: ben,
        postId: post,
        commentId: comment,
      },
    ])
    expect(of(Liked({ ...like, authorId: ben }))).toEqual([])
    expect(of(Unliked(like) as unknown as NotifyingEvent)).toEqual([])
  })
  it('who is followed, who is asked, and who is accepted', () => {
    const pair = { followerId: ben, followeeId: ada }
    expect(told(Followed({ ...pair, accepted: false }))).toEqual([[ada, 'follow']])
    expect(told(FollowRequested(pair))).toEqual([[ada, 'follow_request']])
    expect(told(Followed({ ...pair, accepted: true }))).toEqual([[ben, 'follow_accepted']])
  })
  it('who is followed, where the one who asked follows an account that has become public', () => {
    const [event] = recorded([Followed({ followerId: ben, followeeId: ada, accepted: true })])
    expect(notificationsOf({ ...event!, metadata: { ...event!.metadata, actorId: ben } })).toMatchObject([
      { accountId: ada, type: 'follow' },
    ])
  })
})

describe('ids', () => {
  it('are ids, the same for all follows of a day (UTC) and others the next', () => {
    const first = notificationIds.follows(ada, '2026-01-01T00:00:00.000Z')
    expect(isId(first)).toBe(true)
    expect(notificationIds.follows(ada, '2026-01-01T23:59:59.999Z')).toBe(first)
    expect(notificationIds.follows(ada, '2026-01-02T00:00:00.000Z')).not.toBe(first)
  })
})
