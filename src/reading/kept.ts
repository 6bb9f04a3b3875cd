import { Changes, Kept } from '../kernel/projecting/kept.ts'
import { accountsModel } from '../projections/accounts/project.ts'
import { commentsModel } from '../projections/comments/project.ts'
import { commentContents, countsBelow } from '../projections/comments/queries.ts'
import { likesModel } from '../projections/likes/project.ts'
import { likeCounts } from '../projections/likes/queries.ts'
import { postsModel } from '../projections/posts/project.ts'
import { postContents } from '../projections/posts/queries.ts'
import { accountFacts } from '../projections/relationships/queries.ts'
import type { Reading } from './context.ts'

/**
 * What does not vary by viewer: the words and pictures of posts (about 2 kB each), comments, who accounts are, and counters. What the rules decide is laid over
 * it at each reading.
 */
export function keptRows(): Reading['kept'] {
  const changes = new Changes()
  return {
    posts: new Kept({
      changes,
      model: postsModel,
      most: 20_000,
      load: postContents,
      ownersOf: ({ author }) => [author],
      isWhole: ({ media }) => media.every(({ width }) => width !== null),
    }),
    accounts: new Kept({ changes, model: accountsModel, most: 50_000, load: accountFacts }),
    comments: new Kept({
      changes,
      model: commentsModel,
      most: 20_000,
      load: commentContents,
      ownersOf: ({ parentId, postId }) => [parentId, postId],
    }),
    likes: new Kept({ changes, model: likesModel, most: 50_000, load: likeCounts }),
    below: new Kept({ changes, model: commentsModel, most: 50_000, load: countsBelow }),
  }
}
