import type { Location } from '../domain/posts/content.ts'
import type { AccountId, PostId } from '../kernel/ids.ts'
import { notFound } from '../kernel/problem.ts'
import { asOfOne } from '../kernel/projecting/kept.ts'
import { commentsModel } from '../projections/comments/project.ts'
import { likesModel } from '../projections/likes/project.ts'
import { mediaModel } from '../projections/media/project.ts'
import { postsModel } from '../projections/posts/project.ts'
import { type PostContent, type PostPicture, postKeysOf } from '../projections/posts/queries.ts'
import { type AccountItem, accountItem, accountModels } from './accounts.ts'
import type { Reading, ViewerId } from './context.ts'
import { type MediaView, mediaViewOf } from './media.ts'
import { fillPage, listOf, type PageOf } from './page.ts'
import { type Pictures, picturesFor } from './pictures.ts'
import { type Author, authorLooks, knowable, mayComment, maySeeContent, type PostWithAuthor, postLooks } from './rules.ts'
import { type Standing, standingLooks } from './standings.ts'

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
    fetch: listOf({ db: reading.db, kept: reading.kept.postsOf, of: author.id }, (after, limit) =>
      postKeysOf(reading.db, { authorId: author.id, after, limit }),
    ),
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
  const wanted = new Set(ids)
  const authors = authorLooks(reading, viewerId)
  const posts = postLooks(reading, viewerId, authors)
  const standings = standingLooks(reading, viewerId)
  const look = () => {
    const accounts = new Map<AccountId, Author>()
    standings.look(wanted)
    const seen: PostWithAuthor<WholePost>[] = []
    for (const id of wanted) {
      const one = posts.seen(id, accounts, post => accountsIn(post, viewerId))
      if (one !== undefined && isWhole(one.post)) seen.push({ post: one.post, author: one.author })
    }
    return { seen, accounts }
  }
  const { seen, accounts } = await asOfOne(kept.changes, db, [...posts.looks, ...authors.looks], look, standings.apart)
  const pictures = picturesFor(
    reading,
    viewerId,
    seen.map(({ author }) => author.id),
  )
  return new Map(
    seen.map(one => {
      const { id, revision } = one.post
      return [id, { view: present(reading, viewerId, one, accounts, standings.of(id), pictures), revision }]
    }),
  )
}

/** The URL of the small picture that stands for a post. */
export const thumbnailUrl = (pictures: Pictures, { author, media: [first] }: PostContent): string =>
  pictures.url(author, first!.id, 'thumbnail')

/** Whom a post names to the viewer. */
const accountsIn = ({ author, mention_ids, audience_accounts }: PostContent, viewerId: ViewerId): readonly AccountId[] =>
  author === viewerId
    ? [author, ...mention_ids, ...audience_accounts]
    : mention_ids.length === 0
      ? [author]
      : [author, ...mention_ids]

/** A post is shown with all of its pictures or not yet: the media model may be behind the posts'. */
export const isWhole = (post: PostContent): post is WholePost => post.media.every(({ width }) => width !== null)

type WholePost = Omit<PostContent, 'media'> & { media: (PostPicture & { width: number })[] }

function present(
  reading: Reading,
  viewerId: ViewerId,
  { post, author }: PostWithAuthor<WholePost>,
  accounts: ReadonlyMap<AccountId, Author>,
  { likes, below, liked }: Standing,
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
    counts: { likes, comments: below },
    viewer: {
      liked,
      canComment: mayComment(viewerId, { authorId: author.id, comments: post.comments, relation: author.relation }),
      canEdit: mine,
      canDelete: mine,
    },
  }
}

const isKnowable = ({ relation }: Author): boolean => knowable(relation)
