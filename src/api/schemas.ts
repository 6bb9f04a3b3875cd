import * as v from 'valibot'
import { captionLimits } from '../domain/posts/content.ts'
import { example, model, queryList } from '../kernel/http/schema.ts'
import { isId } from '../kernel/ids.ts'

/** What the schemas of several features hold. */

/** An id of anything: a UUID in lower case. */
export const Id = v.pipe(v.string(), v.uuid(), v.check(isId, 'must be an id'))

/** A time, ISO 8601 UTC. */
export const Time = v.pipe(v.string(), v.isoTimestamp())

/** What people write under a picture; `checkWords` counts its hashtags and mentions. Characters are Unicode's, not UTF-16's. */
export const Words = v.pipe(
  v.string(),
  v.maxCodePoints(captionLimits.characters),
  v.metadata({ maxLength: captionLimits.characters }),
)

/** `{account}` in a path: an id or a username. */
export const AccountRef = example(v.pipe(v.string(), v.maxLength(100), v.description('An id or a username')), 'ada')

/** The query of batch reads: up to 100 ids. What may not be seen is left out, what is no id is 422. */
export const ids = queryList(Id, 100)

export const AccountViewer = v.object({
  follows: example(v.boolean(), true),
  followsYou: v.boolean(),
  requested: v.pipe(v.boolean(), v.description('You asked to follow this private account')),
  blocks: v.pipe(v.boolean(), v.description('You block this account')),
  closeFriend: v.pipe(v.boolean(), v.description('You count this account among your close friends')),
})

/** An account in lists, and as the author of things. */
export const AccountItem = model(
  'AccountItem',
  v.object({
    id: Id,
    username: example(v.string(), 'ada'),
    displayName: example(v.nullable(v.string()), 'Ada Byron'),
    avatarUrl: example(v.nullable(v.string()), null),
    viewer: AccountViewer,
  }),
)

export const AccountCounts = v.object({
  posts: example(v.pipe(v.number(), v.description('Those for the public and for followers')), 12),
  followers: example(v.number(), 340),
  following: example(v.number(), 180),
})

/** The answer to a deletion, and to its repeat. */
export const Gone = v.object({ id: Id })
