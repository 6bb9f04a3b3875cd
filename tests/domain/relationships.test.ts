import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  Blocked,
  CloseFriendAdded,
  CloseFriendRemoved,
  Followed,
  FollowRequestEnded,
  FollowRequested,
  type RelationshipCommand,
  type RelationshipState,
  relationship,
  relationshipStream,
  Unblocked,
  Unfollowed,
} from '../../src/domain/relationships/relationship.ts'
import { Problem } from '../../src/kernel/problem.ts'
import { given } from '../support/domain.ts'

const adaFollows = { followerId: 'ada', followeeId: 'ben' }
const benFollows = { followerId: 'ben', followeeId: 'ada' }
const ada = { actorId: 'ada', otherId: 'ben' }
const ben = { actorId: 'ben', otherId: 'ada' }
const followed = Followed({ ...adaFollows, accepted: false })
const requested = FollowRequested(adaFollows)
const adaBlocks = Blocked({ blockerId: 'ada', blockedId: 'ben' })

describe('a relationship', () => {
  it('is one stream, whoever acts', () => expect(relationshipStream('b', 'a')).toBe(relationshipStream('a', 'b')))

  it('has no commands about oneself', () =>
    given(relationship).when({ type: 'Block', actorId: 'ada', otherId: 'ada' }).then('validation_failed'))

  describe('follow', () => {
    const follow = { type: 'Follow', ...ada, otherIsPrivate: false } as const
    it('follows', () => given(relationship).when(follow).then([followed]))
    it('follows once', () => given(relationship, followed).when(follow).then([]))
    it('both ways', () =>
      given(relationship, followed)
        .when({ ...follow, ...ben })
        .then([Followed({ ...benFollows, accepted: false })]))
    it('asks a private account', () =>
      given(relationship)
        .when({ ...follow, otherIsPrivate: true })
        .then([requested]))
    it('asks once', () =>
      given(relationship, requested)
        .when({ ...follow, otherIsPrivate: true })
        .then([]))
    it('stays when the account went private', () =>
      given(relationship, followed)
        .when({ ...follow, otherIsPrivate: true })
        .then([]))
    it('needs no answer any more where the account is public by now', () =>
      given(relationship, requested)
        .when(follow)
        .then([Followed({ ...adaFollows, accepted: true })]))
    it('is refused where one blocks the other: they have to unblock first', () =>
      given(relationship, adaBlocks).when(follow).then('validation_failed'))
    it('finds nobody who blocks', () =>
      given(relationship, adaBlocks)
        .when({ ...follow, ...ben })
        .then('not_found'))
  })

  describe('unfollow', () => {
    const unfollow = { type: 'Unfollow', ...ada } as const
    const unfollowed = Unfollowed({ ...adaFollows, reason: 'unfollowed' })
    it('ends the follow', () => given(relationship, followed).when(unfollow).then([unfollowed]))
    it('takes a request back', () =>
      given(relationship, requested)
        .when(unfollow)
        .then([FollowRequestEnded({ ...adaFollows, reason: 'withdrawn' })]))
    it('is nothing where there is no follow', () => given(relationship).when(unfollow).then([]))
    it('ends being a close friend', () =>
      given(relationship, followed, CloseFriendAdded({ ownerId: 'ben', friendId: 'ada' }))
        .when(unfollow)
        .then([unfollowed, CloseFriendRemoved({ ownerId: 'ben', friendId: 'ada' })]))
  })

  describe('a request', () => {
    it('is accepted', () =>
      given(relationship, requested)
        .when({ type: 'AcceptRequest', ...ben })
        .then([Followed({ ...adaFollows, accepted: true })]))
    it('is accepted once', () =>
      given(relationship, followed)
        .when({ type: 'AcceptRequest', ...ben })
        .then([]))
    it('must be there', () =>
      given(relationship)
        .when({ type: 'AcceptRequest', ...ben })
        .then('not_found'))
    it('is not for who asks to accept', () =>
      given(relationship, requested)
        .when({ type: 'AcceptRequest', ...ada })
        .then('not_found'))
    it('is refused', () =>
      given(relationship, requested)
        .when({ type: 'RefuseRequest', ...ben })
        .then([FollowRequestEnded({ ...adaFollows, reason: 'refused' })]))
    it('is refused once', () =>
      given(relationship)
        .when({ type: 'RefuseRequest', ...ben })
        .then([]))
  })

  describe('remove a follower', () => {
    const remove = { type: 'RemoveFollower', ...ben } as const
    it('ends their follow alone', () =>
      given(relationship, followed, Followed({ ...benFollows, accepted: false }))
        .when(remove)
        .then([Unfollowed({ ...adaFollows, reason: 'removed' })]))
    it('ends being a close friend', () =>
      given(relationship, followed, CloseFriendAdded({ ownerId: 'ben', friendId: 'ada' }))
        .when(remove)
        .then([Unfollowed({ ...adaFollows, reason: 'removed' }), CloseFriendRemoved({ ownerId: 'ben', friendId: 'ada' })]))
    it('is nothing where they do not follow', () => given(relationship).when(remove).then([]))
  })

  describe('block', () => {
    const block = { type: 'Block', ...ada } as const
    it('blocks', () => given(relationship).when(block).then([adaBlocks]))
    it('blocks once', () => given(relationship, adaBlocks).when(block).then([]))
    it('severs all in both directions', () =>
      given(relationship, followed, FollowRequested(benFollows), CloseFriendAdded({ ownerId: 'ben', friendId: 'ada' }))
        .when(block)
        .then([
          adaBlocks,
          Unfollowed({ ...adaFollows, reason: 'blocked' }),
          FollowRequestEnded({ ...benFollows, reason: 'blocked' }),
          CloseFriendRemoved({ ownerId: 'ben', friendId: 'ada' }),
        ]))
    it('finds nobody who blocks already', () =>
      given(relationship, adaBlocks)
        .when({ type: 'Block', ...ben })
        .then('not_found'))
    it('ends', () =>
      given(relationship, adaBlocks)
        .when({ type: 'Unblock', ...ada })
        .then([Unblocked({ blockerId: 'ada', blockedId: 'ben' })]))
    it('ends by the one who blocked alone', () =>
      given(relationship, adaBlocks)
        .when({ type: 'Unblock', ...ben })
        .then([]))
    it('brings nothing back when it ends', () =>
      given(
        relationship,
        followed,
        adaBlocks,
        Unfollowed({ ...adaFollows, reason: 'blocked' }),
        Unblocked({ blockerId: 'ada', blockedId: 'ben' }),
      )
        .when({ type: 'Unfollow', ...ada })
        .then([]))
  })

  describe('a close friend', () => {
    const add = { type: 'AddCloseFriend', ...ben } as const
    const added = CloseFriendAdded({ ownerId: 'ben', friendId: 'ada' })
    it('is a follower', () => given(relationship, followed).when(add).then([added]))
    it('is one once', () => given(relationship, followed, added).when(add).then([]))
    it('cannot be who does not follow', () => given(relationship).when(add).then('validation_failed'))
    it('cannot be who only asked', () => given(relationship, requested).when(add).then('validation_failed'))
    it('is removed', () =>
      given(relationship, followed, added)
        .when({ type: 'RemoveCloseFriend', ...ben })
        .then([CloseFriendRemoved({ ownerId: 'ben', friendId: 'ada' })]))
    it('is removed once', () =>
      given(relationship, followed)
        .when({ type: 'RemoveCloseFriend', ...ben })
        .then([]))
  })

  it('holds, whatever two do to each other: no follow while blocked, close friends follow, who follows does not ask', () => {
    const type = fc.constantFrom<RelationshipCommand['type'][]>(
      'Follow',
      'Unfollow',
      'AcceptRequest',
      'RefuseRequest',
      'RemoveFollower',
      'Block',
      'Unblock',
      'AddCloseFriend',
      'RemoveCloseFriend',
    )
    const command = fc.record({ type, pair: fc.constantFrom(ada, ben), otherIsPrivate: fc.boolean() })
    fc.assert(
      fc.property(fc.array(command, { maxLength: 40 }), commands => {
        let state = relationship.initial
        for (const { type, pair, otherIsPrivate } of commands) {
          const each = { type, ...pair, otherIsPrivate } as RelationshipCommand
          const after = decided(each, state)
          expect(decided(each, after), 'decided twice').toEqual(after)
          state = after
          holds(state)
        }
      }),
      { numRuns: 1_000 },
    )
  })
})

function decided(command: RelationshipCommand, state: RelationshipState): RelationshipState {
  try {
    return relationship.decide(command, state).reduce(relationship.evolve, state)
  } catch (error) {
    if (error instanceof Problem) return state
    throw error
  }
}

const other = (id: string) => (id === 'ada' ? 'ben' : 'ada')

function holds({ follows, requests, blocks, closeFriends }: RelationshipState): void {
  if (blocks.length > 0) expect([...follows, ...requests, ...closeFriends]).toEqual([])
  expect(blocks.length).toBeLessThan(2)
  for (const owner of closeFriends) expect(follows).toContain(other(owner))
  for (const asking of requests) expect(follows).not.toContain(asking)
}

describe('AskInstead', () => {
  const ask = { type: 'AskInstead', actorId: 'a', otherId: 'b' } as const
  const follow = { followerId: 'a', followeeId: 'b' }

  it('turns a follow that came too late into a request', () =>
    given(relationship, Followed({ ...follow, accepted: false }), CloseFriendAdded({ ownerId: 'b', friendId: 'a' }))
      .when(ask)
      .then([
        Unfollowed({ ...follow, reason: 'removed' }),
        CloseFriendRemoved({ ownerId: 'b', friendId: 'a' }),
        FollowRequested(follow),
      ]))

  it('does nothing where there is no follow', () => given(relationship).when(ask).then([]))
})
