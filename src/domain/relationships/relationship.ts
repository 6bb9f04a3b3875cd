import { decider, streamName } from '../../kernel/decider.ts'
import { type EventsOf, eventType } from '../../kernel/events.ts'
import type { AccountId } from '../../kernel/ids.ts'
import { invalid, notFound } from '../../kernel/problem.ts'

/** What stands between two accounts: one stream a pair, so that a block severs both follows at once. */
export const relationshipStream = (one: AccountId, other: AccountId): string =>
  streamName('relationship', one < other ? `${one}_${other}` : `${other}_${one}`)

type Follow = { followerId: AccountId; followeeId: AccountId }

const FollowRequested = eventType<'FollowRequested', Follow>('FollowRequested')
/** The request is gone: taken back, refused, or severed by a block. */
const FollowRequestEnded = eventType<'FollowRequestEnded', Follow & { reason: 'withdrawn' | 'refused' | 'blocked' }>(
  'FollowRequestEnded',
)
/** `accepted`: a request came before; the request ends with this. */
const Followed = eventType<'Followed', Follow & { accepted: boolean }>('Followed')
const Unfollowed = eventType<'Unfollowed', Follow & { reason: 'unfollowed' | 'removed' | 'blocked' }>('Unfollowed')
const Blocked = eventType<'Blocked', { blockerId: AccountId; blockedId: AccountId }>('Blocked')
const Unblocked = eventType<'Unblocked', { blockerId: AccountId; blockedId: AccountId }>('Unblocked')
const CloseFriendAdded = eventType<'CloseFriendAdded', { ownerId: AccountId; friendId: AccountId }>('CloseFriendAdded')
const CloseFriendRemoved = eventType<'CloseFriendRemoved', { ownerId: AccountId; friendId: AccountId }>('CloseFriendRemoved')

export const relationshipEvents = [
  FollowRequested,
  FollowRequestEnded,
  Followed,
  Unfollowed,
  Blocked,
  Unblocked,
  CloseFriendAdded,
  CloseFriendRemoved,
] as const
export { Blocked, CloseFriendAdded, CloseFriendRemoved, Followed, FollowRequestEnded, FollowRequested, Unblocked, Unfollowed }
export type RelationshipEvent = EventsOf<typeof relationshipEvents>

/** Each set holds the one who acts: who follows, asks, blocks, counts the other among their close friends. */
export type RelationshipState = {
  readonly follows: readonly AccountId[]
  readonly requests: readonly AccountId[]
  readonly blocks: readonly AccountId[]
  readonly closeFriends: readonly AccountId[]
}

const initial: RelationshipState = { follows: [], requests: [], blocks: [], closeFriends: [] }

const plus = (set: readonly AccountId[], id: AccountId): readonly AccountId[] => (set.includes(id) ? set : [...set, id])
const minus = (set: readonly AccountId[], id: AccountId): readonly AccountId[] => set.filter(other => other !== id)

function evolve(state: RelationshipState, event: RelationshipEvent): RelationshipState {
  switch (event.type) {
    case 'FollowRequested':
      return { ...state, requests: plus(state.requests, event.data.followerId) }
    case 'FollowRequestEnded':
      return { ...state, requests: minus(state.requests, event.data.followerId) }
    case 'Followed': {
      const { followerId } = event.data
      return { ...state, requests: minus(state.requests, followerId), follows: plus(state.follows, followerId) }
    }
    case 'Unfollowed':
      return { ...state, follows: minus(state.follows, event.data.followerId) }
    case 'Blocked':
      return { ...state, blocks: plus(state.blocks, event.data.blockerId) }
    case 'Unblocked':
      return { ...state, blocks: minus(state.blocks, event.data.blockerId) }
    case 'CloseFriendAdded':
      return { ...state, closeFriends: plus(state.closeFriends, event.data.ownerId) }
    case 'CloseFriendRemoved':
      return { ...state, closeFriends: minus(state.closeFriends, event.data.ownerId) }
  }
}

/** `actorId` does it to, or about, `otherId`. */
export type RelationshipCommand = { readonly actorId: AccountId; readonly otherId: AccountId } & (
  | { readonly type: 'Follow'; readonly otherIsPrivate: boolean }
  | {
      readonly type:
        | 'Unfollow'
        | 'AcceptRequest'
        | 'RefuseRequest'
        | 'RemoveFollower'
        | 'Block'
        | 'Unblock'
        | 'AddCloseFriend'
        | 'RemoveCloseFriend'
        /** The other has become private while the follow was under way: it becomes a request. */
        | 'AskInstead'
    }
)

function decide(command: RelationshipCommand, state: RelationshipState): RelationshipEvent[] {
  const { actorId, otherId } = command
  if (actorId === otherId) throw invalid('/account', 'this is yourself')
  switch (command.type) {
    case 'Follow': {
      if (state.blocks.includes(otherId)) throw notFound('account')
      if (state.blocks.includes(actorId)) throw invalid('/account', 'you block this account: unblock it first')
      const follow = { followerId: actorId, followeeId: otherId }
      if (state.follows.includes(actorId)) return []
      if (state.requests.includes(actorId)) return command.otherIsPrivate ? [] : [Followed({ ...follow, accepted: true })]
      return command.otherIsPrivate ? [FollowRequested(follow)] : [Followed({ ...follow, accepted: false })]
    }
    case 'Unfollow': {
      const follow = { followerId: actorId, followeeId: otherId }
      if (state.follows.includes(actorId))
        return [Unfollowed({ ...follow, reason: 'unfollowed' }), ...notClose(state, otherId, actorId)]
      return state.requests.includes(actorId) ? [FollowRequestEnded({ ...follow, reason: 'withdrawn' })] : []
    }
    case 'AcceptRequest':
      if (state.follows.includes(otherId)) return []
      if (!state.requests.includes(otherId)) throw notFound('follow request')
      return [Followed({ followerId: otherId, followeeId: actorId, accepted: true })]
    case 'RefuseRequest':
      return state.requests.includes(otherId)
        ? [FollowRequestEnded({ followerId: otherId, followeeId: actorId, reason: 'refused' })]
        : []
    case 'RemoveFollower':
      if (!state.follows.includes(otherId)) return []
      return [Unfollowed({ followerId: otherId, followeeId: actorId, reason: 'removed' }), ...notClose(state, actorId, otherId)]
    case 'Block':
      // Whoever is blocked cannot know it: the other is as one that does not exist, so a pair never blocks both ways.
      if (state.blocks.includes(otherId)) throw notFound('account')
      return state.blocks.includes(actorId)
        ? []
        : [Blocked({ blockerId: actorId, blockedId: otherId }), ...severed(state, actorId, otherId)]
    case 'Unblock':
      return state.blocks.includes(actorId) ? [Unblocked({ blockerId: actorId, blockedId: otherId })] : []
    case 'AddCloseFriend':
      if (state.blocks.includes(otherId)) throw notFound('account')
      if (!state.follows.includes(otherId)) throw invalid('/account', 'only followers can be close friends')
      return state.closeFriends.includes(actorId) ? [] : [CloseFriendAdded({ ownerId: actorId, friendId: otherId })]
    case 'RemoveCloseFriend':
      return notClose(state, actorId, otherId)
    case 'AskInstead': {
      if (!state.follows.includes(actorId)) return []
      const follow = { followerId: actorId, followeeId: otherId }
      return [Unfollowed({ ...follow, reason: 'removed' }), ...notClose(state, otherId, actorId), FollowRequested(follow)]
    }
  }
}

/** Who follows no more is no close friend any more. */
const notClose = (state: RelationshipState, ownerId: AccountId, friendId: AccountId): RelationshipEvent[] =>
  state.closeFriends.includes(ownerId) ? [CloseFriendRemoved({ ownerId, friendId })] : []

/** What a block ends, in both directions. */
const severed = (state: RelationshipState, one: AccountId, other: AccountId): RelationshipEvent[] =>
  (
    [
      [one, other],
      [other, one],
    ] as const
  ).flatMap(([followerId, followeeId]) => [
    ...(state.follows.includes(followerId) ? [Unfollowed({ followerId, followeeId, reason: 'blocked' })] : []),
    ...(state.requests.includes(followerId) ? [FollowRequestEnded({ followerId, followeeId, reason: 'blocked' })] : []),
    ...notClose(state, followerId, followeeId),
  ])

export const relationship = decider<RelationshipState, RelationshipCommand, RelationshipEvent>({ initial, evolve, decide })
