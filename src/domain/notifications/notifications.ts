import type { EventOf, Recorded } from '../../kernel/events.ts'
import { type AccountId, type CommentId, derivedId, type Id, type PostId } from '../../kernel/ids.ts'
import { CommentAdded, CommentEdited } from '../comments/comment.ts'
import { Liked } from '../likes/like.ts'
import { PostEdited, PostPublished } from '../posts/post.ts'
import { Followed, FollowRequested } from '../relationships/relationship.ts'

export type NotificationId = Id<'notification'>

export const notificationTypes = ['follow', 'follow_request', 'follow_accepted', 'like', 'comment', 'reply', 'mention'] as const
export type NotificationType = (typeof notificationTypes)[number]

/** That `actorId` did something which `accountId` is told of. Several acts share a notification where they are grouped. */
export type Told = {
  readonly notificationId: NotificationId
  readonly accountId: AccountId
  readonly type: NotificationType
  readonly actorId: AccountId
  readonly postId: PostId | null
  readonly commentId: CommentId | null
}

export const notifyingEvents = [Followed, FollowRequested, Liked, CommentAdded, CommentEdited, PostPublished, PostEdited] as const
export type NotifyingEvent = EventOf<(typeof notifyingEvents)[number]>

/** Nothing secret: notifications are read by their own account alone. */
const key = Buffer.from('darkroom.notifications')

/** Ids come from what is told, so that they are the same in every rebuild; acts with the same id are one notification. */
export const notificationIds = {
  /** All likes of one post or comment. */
  likes: (subjectId: PostId | CommentId): NotificationId => derivedId(key, 'like', subjectId),
  /** The follows of one day (UTC). @param at ISO 8601 UTC */
  follows: (followeeId: AccountId, at: string): NotificationId => derivedId(key, 'follow', followeeId, at.slice(0, 10)),
  request: (followerId: AccountId, followeeId: AccountId): NotificationId =>
    derivedId(key, 'follow_request', followerId, followeeId),
  accepted: (followerId: AccountId, followeeId: AccountId): NotificationId =>
    derivedId(key, 'follow_accepted', followerId, followeeId),
  /** What a comment or post tells one account, whether as comment, reply or mention: once. */
  words: (id: PostId | CommentId, accountId: AccountId): NotificationId => derivedId(key, 'words', id, accountId),
}

/**
 * Whom an event tells something, by the event alone; each account once, nobody of what they did themselves. An act that was told before (a mention added
 * to a comment that its account was told of, a second like after an unlike) is here again: the read model knows, and tells nothing anew.
 * Events of other types tell nobody.
 */
export function notificationsOf(event: Recorded<NotifyingEvent>): Told[] {
  switch (event.type) {
    case 'FollowRequested': {
      const { followerId, followeeId } = event.data
      return [of('follow_request', notificationIds.request(followerId, followeeId), followeeId, followerId)]
    }
    case 'Followed': {
      const { followerId, followeeId, accepted } = event.data
      // Who asked an account that has become public since, and follows it now, was accepted by nobody.
      if (accepted && event.metadata.actorId !== followerId) {
        return [of('follow_accepted', notificationIds.accepted(followerId, followeeId), followerId, followeeId)]
      }
      return [of('follow', notificationIds.follows(followeeId, event.at), followeeId, followerId)]
    }
    case 'Liked': {
      const { actorId, subject, postId, authorId } = event.data
      if (actorId === authorId) return []
      return [
        of('like', notificationIds.likes(subject.id), authorId, actorId, postId, subject.kind === 'comment' ? subject.id : null),
      ]
    }
    case 'CommentAdded': {
      const { commentId, postId, postAuthorId, authorId, repliedToId, mentionIds } = event.data
      // The most telling first, for each account is told once.
      const told = new Map<AccountId, NotificationType>()
      if (repliedToId !== null) told.set(repliedToId, 'reply')
      for (const id of mentionIds) if (!told.has(id)) told.set(id, 'mention')
      if (!told.has(postAuthorId)) told.set(postAuthorId, 'comment')
      told.delete(authorId)
      return [...told].map(([accountId, type]) =>
        of(type, notificationIds.words(commentId, accountId), accountId, authorId, postId, commentId),
      )
    }
    case 'CommentEdited':
      return mentions(event.data.addedMentionIds, event.data.authorId, event.data.postId, event.data.commentId)
    case 'PostPublished':
      return mentions(event.data.mentionIds, event.data.authorId, event.data.postId, null)
    case 'PostEdited':
      return mentions(event.data.addedMentionIds, event.data.authorId, event.data.postId, null)
    default:
      return []
  }
}

const mentions = (accountIds: readonly AccountId[], actorId: AccountId, postId: PostId, commentId: CommentId | null): Told[] =>
  [...new Set(accountIds)]
    .filter(accountId => accountId !== actorId)
    .map(accountId => of('mention', notificationIds.words(commentId ?? postId, accountId), accountId, actorId, postId, commentId))

const of = (
  type: NotificationType,
  notificationId: NotificationId,
  accountId: AccountId,
  actorId: AccountId,
  postId: PostId | null = null,
  commentId: CommentId | null = null,
): Told => ({ notificationId, accountId, type, actorId, postId, commentId })
