import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AccountErased } from '../../src/domain/accounts/account.ts'
import {
  Blocked,
  CloseFriendAdded,
  CloseFriendRemoved,
  Followed,
  FollowRequestEnded,
  FollowRequested,
  type RelationshipCommand,
  type RelationshipEvent,
  relationship,
  relationshipStream,
  Unblocked,
  Unfollowed,
} from '../../src/domain/relationships/relationship.ts'
import type { EventOf } from '../../src/kernel/events.ts'
import { Problem } from '../../src/kernel/problem.ts'
import { relationshipsModel } from '../../src/projections/relationships/project.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'
import { projected, type Rows } from '../support/projection.ts'

const [ada, ben, cy] = [1, 2, 3].map(n => `00000000-0000-4000-8000-00000000000${n}`) as [string, string, string]
const follow = { followerId: ada, followeeId: ben }
const erased = (accountId: string) =>
  AccountErased({ accountId, erasureId: ada, handle: 'h', reservationId: ada, emailKey: null })

let kernel: TestKernel
beforeAll(async () => {
  kernel = await testKernel()
})
afterAll(() => kernel.close())

const rowsAfter = (...events: (RelationshipEvent | EventOf<typeof AccountErased>)[]): Promise<Rows> =>
  projected(kernel.db, relationshipsModel, events)

const counts = (rows: Rows) => Object.fromEntries(rows.counts!.map(row => [row.account, [row.followers, row.following]]))
const pairs = (rows: Rows, table: string) =>
  rows[table]!.map(row =>
    row.follower ? [row.follower, row.followee] : row.blocker ? [row.blocker, row.blocked] : [row.owner, row.friend],
  )

describe('the relationships model', () => {
  it('keeps who follows whom, and counts it', async () => {
    const rows = await rowsAfter(
      Followed({ ...follow, accepted: false }),
      Followed({ followerId: cy, followeeId: ben, accepted: false }),
    )
    expect(pairs(rows, 'follows')).toEqual([
      [ada, ben],
      [cy, ben],
    ])
    expect(counts(rows)).toEqual({ [ada]: [0, 1], [ben]: [2, 0], [cy]: [0, 1] })
  })

  it('takes a follow that came again as a new one', async () => {
    const again = [
      Followed({ ...follow, accepted: false }),
      Unfollowed({ ...follow, reason: 'unfollowed' }),
      Followed({ ...follow, accepted: false }),
    ]
    const rows = await rowsAfter(...(again as RelationshipEvent[]))
    expect(rows.follows).toMatchObject([{ position: 3 }])
    expect(counts(rows)).toEqual({ [ada]: [0, 1], [ben]: [1, 0] })
  })

  it('keeps no counts of who has neither followers nor follows', async () => {
    const rows = await rowsAfter(Followed({ ...follow, accepted: false }), Unfollowed({ ...follow, reason: 'removed' }))
    expect(rows.follows).toEqual([])
    expect(rows.counts).toEqual([])
  })

  it('ends a request by an answer, or by a follow', async () => {
    const rows = await rowsAfter(
      FollowRequested(follow),
      FollowRequested({ followerId: cy, followeeId: ben }),
      FollowRequested({ followerId: cy, followeeId: ada }),
      FollowRequestEnded({ followerId: cy, followeeId: ben, reason: 'refused' }),
      Followed({ ...follow, accepted: true }),
    )
    expect(pairs(rows, 'requests')).toEqual([[cy, ada]])
    expect(pairs(rows, 'follows')).toEqual([[ada, ben]])
  })

  it('keeps blocks and close friends until they end', async () => {
    const rows = await rowsAfter(
      Blocked({ blockerId: ada, blockedId: ben }),
      Blocked({ blockerId: ada, blockedId: cy }),
      Unblocked({ blockerId: ada, blockedId: ben }),
      CloseFriendAdded({ ownerId: ben, friendId: cy }),
      CloseFriendAdded({ ownerId: cy, friendId: ben }),
      CloseFriendRemoved({ ownerId: cy, friendId: ben }),
    )
    expect(pairs(rows, 'blocks')).toEqual([[ada, cy]])
    expect(pairs(rows, 'close_friends')).toEqual([[ben, cy]])
  })

  it('forgets an erased account, and corrects the counts of the others', async () => {
    const rows = await rowsAfter(
      Followed({ ...follow, accepted: false }),
      Followed({ followerId: ben, followeeId: ada, accepted: false }),
      Followed({ followerId: ben, followeeId: cy, accepted: false }),
      FollowRequested({ followerId: cy, followeeId: ada }),
      Blocked({ blockerId: cy, blockedId: ada }),
      CloseFriendAdded({ ownerId: ben, friendId: ada }),
      erased(ada),
    )
    expect(pairs(rows, 'follows')).toEqual([[ben, cy]])
    expect(counts(rows)).toEqual({ [ben]: [0, 1], [cy]: [1, 0] })
    for (const table of ['requests', 'blocks', 'close_friends']) expect(rows[table]).toEqual([])
  })

  it('lets nothing come to an erased account that was under way', async () => {
    const rows = await rowsAfter(
      erased(ben),
      Followed({ ...follow, accepted: false }),
      FollowRequested({ followerId: cy, followeeId: ben }),
    )
    expect(rows).toMatchObject({ follows: [], requests: [], counts: [] })
  })

  it('holds after any commands what their deciders hold', async () => {
    const people = [ada, ben, cy]
    const person = fc.constantFrom(...people)
    const type = fc.constantFrom(
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
    const command = fc.record({ type, actorId: person, otherId: person, otherIsPrivate: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 40 }), async commands => {
        const states = new Map<string, ReturnType<typeof relationship.evolve>>()
        const events = (commands as RelationshipCommand[]).flatMap(each => {
          const stream = relationshipStream(each.actorId, each.otherId)
          const state = states.get(stream) ?? relationship.initial
          try {
            const decided = relationship.decide(each, state)
            states.set(stream, decided.reduce(relationship.evolve, state))
            return decided
          } catch (error) {
            if (error instanceof Problem) return []
            throw error
          }
        })
        const rows = await rowsAfter(...events)
        const size = (set: 'follows' | 'requests' | 'blocks' | 'closeFriends') =>
          [...states.values()].reduce((sum, state) => sum + state[set].length, 0)
        expect([rows.follows, rows.requests, rows.blocks, rows.close_friends].map(table => table!.length)).toEqual([
          size('follows'),
          size('requests'),
          size('blocks'),
          size('closeFriends'),
        ])
        const counted = (end: string, id: string) => rows.follows!.filter(row => row[end] === id).length
        for (const id of people) expect(counts(rows)[id] ?? [0, 0]).toEqual([counted('followee', id), counted('follower', id)])
      }),
      { numRuns: 15 },
    )
  })
})
