import { expect, it } from 'vitest'
import { Liked, like, likeStream, Unliked } from '../../src/domain/likes/like.ts'
import { given } from '../support/domain.ts'

const subject = { kind: 'post', id: 'a-photo' } as const
const mine = { actorId: 'ben', subject, postId: 'a-photo', authorId: 'ada' }

it('a like is told once', () => {
  given(like)
    .when({ type: 'Like', ...mine })
    .then([Liked(mine)])
  given(like, Liked(mine))
    .when({ type: 'Like', ...mine })
    .then([])
})

it('what is liked can be unliked, and liked again', () => {
  given(like, Liked(mine))
    .when({ type: 'Unlike', ...mine })
    .then([Unliked(mine)])
  given(like, Liked(mine), Unliked(mine))
    .when({ type: 'Like', ...mine })
    .then([Liked(mine)])
})

it('what is not liked stays so', () => {
  given(like)
    .when({ type: 'Unlike', ...mine })
    .then([])
  given(like, Liked(mine), Unliked(mine))
    .when({ type: 'Unlike', ...mine })
    .then([])
})

it('each account and each subject has a stream of its own', () => {
  const others = [likeStream('eve', subject), likeStream('ben', { kind: 'comment', id: 'a-comment' })]
  expect(new Set([likeStream('ben', subject), ...others]).size).toBe(3)
})
