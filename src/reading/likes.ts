import type { Subject } from '../domain/likes/like.ts'
import type { AccountId, PostId } from '../kernel/ids.ts'
import { commentsModel } from '../projections/comments/project.ts'
import { likesModel } from '../projections/likes/project.ts'
import { type CountsRow, countsOfComment, countsOfPost, likedPostsOf, likersOf } from '../projections/likes/queries.ts'
import { type AccountItem, accountItems } from './accounts.ts'
import type { Reading, ViewerId } from './context.ts'
import { fillPage, type PageOf } from './page.ts'
import { type PostView, postViews } from './posts.ts'
import { mustSeePost, ruleModels } from './rules.ts'

/** What a like and the list of likers are answered from; liked posts are answered from `postModels`. */
export const likeModels = [...ruleModels, likesModel, commentsModel] as const

type Page = { readonly limit: number; readonly after: number | null }

const newest = Number.MAX_SAFE_INTEGER

/** Who likes a post, newest first, without those whom the viewer may not know. @throws Problem not_found where the viewer may not see the post */
export async function likers(reading: Reading, viewerId: ViewerId, postId: PostId, page: Page): Promise<PageOf<AccountItem>> {
  await mustSeePost(reading, viewerId, postId)
  return fillPage({
    ...page,
    fetch: (after, n) => likersOf(reading.db, { subject: postId, after: after ?? newest, n }),
    hydrate: keys =>
      accountItems(
        reading,
        viewerId,
        keys.map(({ id }) => id),
      ),
  })
}

/** The posts that an account likes, the newest like first, without those that it may not see any more. */
export const likedPosts = (reading: Reading, viewerId: AccountId, page: Page): Promise<PageOf<PostView>> =>
  fillPage({
    ...page,
    fetch: (after, n) => likedPostsOf(reading.db, { actor: viewerId, after: after ?? newest, n }),
    hydrate: keys =>
      postViews(
        reading,
        viewerId,
        keys.map(({ id }) => id),
      ),
  })

/** What is known now of the likes of all others and of the comments on a post, or the replies to a comment. Waits for no model. */
export async function countsBesideOwn({ db }: Reading, actorId: AccountId, { kind, id }: Subject): Promise<CountsRow> {
  const [counts] = await (kind === 'post' ? countsOfPost : countsOfComment)(db, { subject: id, actor: actorId })
  return counts!
}
