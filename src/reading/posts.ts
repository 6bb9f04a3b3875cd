import type { Location } from '../domain/posts/content.ts'
import type { AccountId, PostId } from '../kernel/ids.ts'
import { notFound } from '../kernel/problem.ts'
import { commentsModel } from '../projections/comments/project.ts'
import { likesModel } from '../projections/likes/project.ts'
import { mediaModel } from '../projections/media/project.ts'
import { postsModel } from '../projections/posts/project.ts'
import { type PostFacts, type PostPicture, postFacts, postKeysOf } from '../projections/posts/queries.ts'
import { type AccountItem, accountItem, accountModels } from './accounts.ts'
import type { Reading, ViewerId } from './context.ts'
import { type MediaView, mediaViewOf } from './media.ts'
import { fillPage, type PageOf } from './page.ts'
import { type Pictures, picturesFor } from './pictures.ts'
import { type Author, authorFacts, knowable, mayComment, maySeeContent, maySeePost } from './rules.ts'

/** What post views are made of. */
export const postModels = [postsModel, mediaModel, likesModel, commentsModel, ...accountModels] as const

export type AudienceView = 'public' | 'followers' | 'close_friends' | 'accounts' | { readonly accountIds: readonly AccountId[] }

/** A post as one viewer sees it. */
export type PostView = {
  readonly id: PostId
  readonly author: AccountItem
  readonly media: readonly (MediaView & { readonly altText: string | null })[]
  readonly caption: string | null
  readonly hashtags: readonly string[]
  /** Without those whom the viewer may not know. */
  readonly mentions: readonly AccountItem[]
  readonly location: Location | null
  /** `accounts`: to the author the named ones, to these that they were named. */
  readonly audience: AudienceView
  readonly createdAt: string
  readonly editedAt: string | null
  readonly counts: { readonly likes: number; readonly comments: number }
  readonly viewer: {
    readonly liked: boolean
    readonly canComment: boolean
    readonly canEdit: boolean
    readonly canDelete: boolean
  }
}

type Found = { readonly view: PostView; readonly revision: number }

/** Posts by id under the rules of now, in two statements; absent where the viewer may not see them. */
export async function postViews(reading: Reading, viewerId: ViewerId, ids: readonly PostId[]): Promise<Map<PostId, PostView>> {
  return new Map([...(await found(reading, viewerId, ids))].map(([id, { view }]) => [id, view]))
}

/** One post with its revision for the ETag. @throws Problem not_found where the viewer may not see it */
export async function postView(reading: Reading, viewerId: ViewerId, id: PostId): Promise<Found> {
  const post = (await found(reading, viewerId, [id])).get(id)
  if (post === undefined) throw notFound('post')
  return post
}

/** An author's posts, newest first; empty where the viewer may see none. `after`: a position. */
export async function postsOf(
  reading: Reading,
  viewerId: ViewerId,
  author: Author,
  page: { limit: number; after: number | null },
): Promise<PageOf<PostView>> {
  if (!maySeeContent(viewerId, author, author.relation)) return { items: [], next: null }
  return fillPage({
    ...page,
    fetch: (after, limit) => postKeysOf(reading.db, { authorId: author.id, after, limit }),
    hydrate: keys =>
      postViews(
        reading,
        viewerId,
        keys.map(({ id }) => id),
      ),
  })
}

async function found(reading: Reading, viewerId: ViewerId, ids: readonly PostId[]): Promise<Map<PostId, Found>> {
  if (ids.length === 0) return new Map()
  const posts = await postFacts(reading.db, { ids, viewerId })
  const named = posts.flatMap(post => [
    post.author,
    ...post.mention_ids,
    ...(post.author === viewerId ? post.audience_accounts : []),
  ])
  const accounts = await authorFacts(reading, viewerId, named)
  const pictures = picturesFor(reading, viewerId)
  const views = new Map<PostId, Found>()
  for (const post of posts) {
    const author = accounts.get(post.author)
    if (author === undefined || !isWhole(post)) continue
    const audience = { audience: post.audience, audienceAccountIds: post.audience_accounts }
    if (!maySeePost(viewerId, audience, author, author.relation)) continue
    views.set(post.id, { view: present(reading, viewerId, post, author, accounts, pictures), revision: post.revision })
  }
  return views
}

/** A post is shown with all of its pictures or not yet: the media model may be behind the posts'. */
const isWhole = (post: PostFacts): post is WholePost => post.media.every(({ width }) => width !== null)

type WholePost = Omit<PostFacts, 'media'> & { media: (PostPicture & { width: number })[] }

function present(
  reading: Reading,
  viewerId: ViewerId,
  post: WholePost,
  author: Author,
  accounts: ReadonlyMap<AccountId, Author>,
  pictures: Pictures,
): PostView {
  const mine = viewerId === author.id
  const known = (ids: readonly AccountId[]): Author[] => ids.flatMap(id => accounts.get(id) ?? []).filter(isKnowable)
  return {
    id: post.id,
    author: accountItem(reading, author),
    media: post.media.map(picture => ({
      ...mediaViewOf(pictures, author.id, picture),
      altText: picture.altText,
    })),
    caption: post.caption,
    hashtags: post.hashtags,
    mentions: known(post.mention_ids).map(account => accountItem(reading, account)),
    location: post.location,
    audience:
      mine && post.audience === 'accounts' ? { accountIds: known(post.audience_accounts).map(({ id }) => id) } : post.audience,
    createdAt: post.created_at,
    editedAt: post.edited_at,
    counts: { likes: post.likes, comments: post.comment_count },
    viewer: {
      liked: post.liked,
      canComment: mayComment(viewerId, { authorId: author.id, comments: post.comments, relation: author.relation }),
      canEdit: mine,
      canDelete: mine,
    },
  }
}

const isKnowable = ({ relation }: Author): boolean => knowable(relation)
