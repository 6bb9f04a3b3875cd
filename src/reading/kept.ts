import { Changes } from '../kernel/projecting/changes.ts'
import { Kept, KeptPairs } from '../kernel/projecting/kept.ts'
import { accountsModel } from '../projections/accounts/project.ts'
import { commentsModel } from '../projections/comments/project.ts'
import { commentContents, countsBelow, newestComments } from '../projections/comments/queries.ts'
import { likesModel } from '../projections/likes/project.ts'
import { likeCounts, likedAmong } from '../projections/likes/queries.ts'
import { notificationsModel } from '../projections/notifications/project.ts'
import { notificationRows } from '../projections/notifications/queries.ts'
import { postsModel } from '../projections/posts/project.ts'
import { postContents, postKeysOf } from '../projections/posts/queries.ts'
import { relationshipsModel } from '../projections/relationships/project.ts'
import { accountFacts } from '../projections/relationships/queries.ts'
import { sessionsModel } from '../projections/sessions/project.ts'
import { whoseSessions } from '../projections/sessions/queries.ts'
import type { Reading } from './context.ts'
import { beginnings } from './page.ts'
import { relationsBetween, strangers } from './rules.ts'

/**
 * What this process keeps of read models, never older than the question: who is signed in, what the rules ask, the words and pictures of posts (about 2 kB
 * each), comments, and counters. The rules are laid over it at each reading: no answer is kept.
 */
export function keptRows(): Reading['kept'] {
  const changes = new Changes()
  const likes = new Kept({ changes, model: likesModel, most: 50_000, load: likeCounts })
  return {
    changes,
    sessions: new Kept({
      changes,
      model: sessionsModel,
      most: 50_000,
      load: whoseSessions,
      ownersOf: ({ accountId }) => [accountId],
    }),
    accounts: new Kept({ changes, model: accountsModel, most: 50_000, load: accountFacts }),
    relations: new KeptPairs({ changes, model: relationshipsModel, most: 500_000, none: strangers, load: relationsBetween }),
    posts: new Kept({
      changes,
      model: postsModel,
      most: 40_000,
      load: postContents,
      ownersOf: ({ author }) => [author],
      isWhole: ({ media }) => media.every(({ width }) => width !== null),
    }),
    postsOf: new Kept({
      changes,
      model: postsModel,
      most: 10_000,
      load: beginnings((db, authorId, limit) => postKeysOf(db, { authorId, after: null, limit })),
    }),
    commentsOf: new Kept({
      changes,
      model: commentsModel,
      most: 10_000,
      load: beginnings((db, of, n) => newestComments(db, { of, after: Number.MAX_SAFE_INTEGER, n })),
    }),
    notificationsOf: new Kept({
      changes,
      model: notificationsModel,
      // Who stands in a block with the account is not counted.
      with: relationshipsModel,
      most: 5_000,
      load: beginnings((db, accountId, n) => notificationRows(db, { accountId, after: Number.MAX_SAFE_INTEGER, n })),
    }),
    comments: new Kept({
      changes,
      model: commentsModel,
      most: 20_000,
      load: commentContents,
      ownersOf: ({ parentId, postId }) => [parentId, postId],
    }),
    likes,
    liked: new KeptPairs({
      changes,
      model: likesModel,
      most: 500_000,
      none: false,
      load: async (db, { one, others }) => (await likedAmong(db, { viewerId: one, ids: others })).map(({ id }) => [id, true]),
      // What nobody likes needs no question.
      known: subject => (likes.peek(subject)?.likes === 0 ? false : undefined),
    }),
    below: new Kept({ changes, model: commentsModel, most: 50_000, load: countsBelow }),
  }
}
