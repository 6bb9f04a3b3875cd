import type { Location } from '../domain/posts/content.ts'
import type { AccountId, PostId } from '../kernel/ids.ts'
import { notFound } from '../kernel/problem.ts'
import { commentsModel } from '../projections/comments/project.ts'
import { likesModel } from '../projections/likes/project.ts'
import { standingRows } from '../projections/likes/queries.ts'
import { mediaModel } from '../projections/media/project.ts'
import { postsModel } from '../projections/posts/project.ts'
import { type PostContent, type PostPicture, postKeysOf } from '../projections/posts/queries.ts'
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

/** Posts by id under the rules of now; absent where the viewer may not see them. */
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
  const { db, kept } = reading
  const named = (posts: Iterable<PostContent>): AccountId[] => [
    ...new Set([...posts].flatMap(post => accountsIn(post, viewerId))),
  ]
  // Whom to ask about is known beforehand of posts that are kept: the rest is asked afterwards.
  const expected = named(kept.posts.peek(ids))
  const [posts, standings, known] = await Promise.all([
    kept.posts.rows(db, ids),
    standingsOf(reading, viewerId, ids),
    authorFacts(reading, viewerId, expected),
  ])
  const asked = new Set(expected)
  const unasked = named(posts.values()).filter(id => !asked.has(id))
  const accounts = unasked.length === 0 ? known : new Map([...known, ...(await authorFacts(reading, viewerId, unasked))])
  const pictures = picturesFor(reading, viewerId)
  const views = new Map<PostId, Found>()
  for (const post of posts.values()) {
    const author = accounts.get(post.author)
    if (author === undefined || !isWhole(post)) continue
    const audience = { audience: post.audience, audienceAccountIds: post.audience_accounts }
    if (!maySeePost(viewerId, audience, author, author.relation)) continue
    const standing = standings.get(post.id) ?? untouched
    views.set(post.id, { view: present(reading, viewerId, post, standing, author, accounts, pictures), revision: post.revision })
  }
  return views
}

/** Whom a post names to the viewer. */
const accountsIn = ({ author, mention_ids, audience_accounts }: PostContent, viewerId: ViewerId): readonly AccountId[] =>
  author === viewerId
    ? [author, ...mention_ids, ...audience_accounts]
    : mention_ids.length === 0
      ? [author]
      : [author, ...mention_ids]

type Standing = { likes: number; comments: number; liked: boolean }
const untouched: Standing = { likes: 0, comments: 0, liked: false }

/** Counters, and whether the viewer likes it; nobody has touched a post that is absent. */
async function standingsOf({ db }: Reading, viewerId: ViewerId, ids: readonly PostId[]): Promise<ReadonlyMap<PostId, Standing>> {
  const standings = new Map<PostId, Standing>()
  for (const { id, kind, count } of await standingRows(db, { ids, viewerId })) {
    const standing = standings.get(id) ?? { ...untouched }
    if (kind === 'liked') standing.liked = true
    else standing[kind] = count
    standings.set(id, standing)
  }
  return standings
}

/** A post is shown with all of its pictures or not yet: the media model may be behind the posts'. */
const isWhole = (post: PostContent): post is WholePost => post.media.every(({ width }) => width !== null)

type WholePost = Omit<PostContent, 'media'> & { media: (PostPicture & { width: number })[] }

function present(
  reading: Reading,
  viewerId: ViewerId,
  post: WholePost,
  { likes, comments, liked }: Standing,
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
    counts: { likes, comments },
    viewer: {
      liked,
      canComment: mayComment(viewerId, { authorId: author.id, comments: post.comments, relation: author.relation }),
      canEdit: mine,
      canDelete: mine,
    },
  }
}

const isKnowable = ({ relation }: Author): boolean => knowable(relation)
