import type { AccountId, CommentId, PostId } from '../kernel/ids.ts'
import { invalid, notFound } from '../kernel/problem.ts'
import { asOfOne } from '../kernel/projecting/kept.ts'
import { commentsModel } from '../projections/comments/project.ts'
import {
  type CommentContent,
  type CommentKey,
  newerComments,
  newestComments,
  oldestReplies,
  placeOf,
} from '../projections/comments/queries.ts'
import { likesModel } from '../projections/likes/project.ts'
import { type AccountItem, accountItem } from './accounts.ts'
import type { Reading, ViewerId } from './context.ts'
import { fillPage, listOf, type PageOf } from './page.ts'
import {
  type Author,
  type AuthorLooks,
  authorLooks,
  knowable,
  maySeeComment,
  mustSeePost,
  type PostLooks,
  postLooks,
  ruleModels,
} from './rules.ts'
import { type Standing, standingLooks } from './standings.ts'

/** What comment views are made of. */
export const commentModels = [...ruleModels, commentsModel, likesModel] as const

/** A comment or reply as one viewer sees it. */
export type CommentView = {
  readonly id: CommentId
  readonly postId: PostId
  readonly parentId: CommentId | null
  readonly author: AccountItem
  readonly text: string
  /** Without those whom the viewer may not know. */
  readonly mentions: readonly AccountItem[]
  readonly createdAt: string
  readonly editedAt: string | null
  readonly counts: { readonly likes: number; readonly replies: number }
  readonly viewer: { readonly liked: boolean; readonly canEdit: boolean; readonly canDelete: boolean }
}

type Found = { readonly view: CommentView; readonly revision: number }

/**
 * Comments by id under the rules of now; absent where the viewer may not see the post, and where there is a block between the viewer and the author, or the
 * author of the comment that it stands under.
 */
export async function commentViews(
  reading: Reading,
  viewerId: ViewerId,
  ids: readonly CommentId[],
): Promise<Map<CommentId, CommentView>> {
  return new Map([...(await found(reading, viewerId, ids))].map(([id, { view }]) => [id, view]))
}

/** One comment with its revision for the ETag. @throws Problem not_found where the viewer may not see it or its post */
export async function commentView(reading: Reading, viewerId: ViewerId, id: CommentId): Promise<Found> {
  const comment = (await found(reading, viewerId, [id])).get(id)
  if (comment === undefined) throw notFound('comment')
  return comment
}

/** A comment that the viewer may see: whose it is and where it stands. */
export type SeenComment = Pick<CommentContent, 'postId' | 'authorId' | 'parentId'>

/** @throws Problem not_found where the viewer may not see the comment or its post */
export async function mustSeeComment(reading: Reading, viewerId: ViewerId, id: CommentId): Promise<SeenComment> {
  const authors = authorLooks(reading, viewerId)
  const posts = postLooks(reading, viewerId, authors)
  const comments = commentLooks(reading, posts, authors)
  const looks = [...comments.looks, ...posts.looks, ...authors.looks]
  const [comment] = await asOfOne(reading.kept.changes, reading.db, looks, () => comments.seen([id], new Map()))
  if (comment === undefined) throw notFound('comment')
  return comment
}

type Page = { readonly limit: number; readonly after: number | null }

/** A post's comments, newest first, without replies. @throws Problem not_found where the viewer may not see the post */
export async function commentsOf(reading: Reading, viewerId: ViewerId, postId: PostId, page: Page): Promise<PageOf<CommentView>> {
  // Asked at once: where the post may not be seen, nothing of the page is.
  const [seen, comments] = await Promise.allSettled([
    mustSeePost(reading, viewerId, postId),
    pageOf(
      reading,
      viewerId,
      page,
      listOf({ db: reading.db, kept: reading.kept.commentsOf, of: postId }, (after, n) =>
        newestComments(reading.db, { of: postId, after: after ?? end, n }),
      ),
    ),
  ])
  if (seen.status === 'rejected') throw seen.reason
  if (comments.status === 'rejected') throw comments.reason
  return comments.value
}

/**
 * The page of a post's comments that holds one of them, or the one that a reply stands under, with newer ones before it.
 * @throws Problem not_found where the viewer may not see the post, validation_failed at /around for a comment that is not to be seen there
 */
export async function commentsAround(
  reading: Reading,
  viewerId: ViewerId,
  postId: PostId,
  around: CommentId,
  limit: number,
): Promise<PageOf<CommentView>> {
  await mustSeePost(reading, viewerId, postId)
  const [place] = await placeOf(reading.db, { id: around })
  if (place?.postId !== postId || (await commentViews(reading, viewerId, [around])).size === 0) {
    throw invalid('/around', 'is no comment of this post')
  }
  const page = (limit: number, after: number, keys: typeof newestComments) =>
    pageOf(reading, viewerId, { limit, after }, (behind, n) => keys(reading.db, { of: postId, after: behind ?? after, n }))
  const before = limit > 1 ? (await page(limit >> 1, place.position, newerComments)).items.toReversed() : []
  const { items, next } = await page(limit - before.length, place.position + 1, newestComments)
  return { items: [...before, ...items], next }
}

/** The replies to a comment, oldest first. @throws Problem not_found where the viewer may not see the comment */
export async function repliesTo(reading: Reading, viewerId: ViewerId, id: CommentId, page: Page): Promise<PageOf<CommentView>> {
  await mustSeeComment(reading, viewerId, id)
  return pageOf(reading, viewerId, page, (after, n) => oldestReplies(reading.db, { of: id, after: after ?? 0, n }))
}

const end = Number.MAX_SAFE_INTEGER

const pageOf = (
  reading: Reading,
  viewerId: ViewerId,
  page: Page,
  fetch: (after: number | null, n: number) => Promise<readonly CommentKey[]>,
) =>
  fillPage({
    ...page,
    fetch,
    hydrate: keys =>
      commentViews(
        reading,
        viewerId,
        keys.map(({ id }) => id),
      ),
  })

/** Comments, for what is answered as of one question. */
export function commentLooks({ kept }: Reading, posts: PostLooks, authors: AuthorLooks) {
  const comments = kept.comments.look()
  return {
    looks: [comments],
    /**
     * Those that the viewer may see, under posts that they may see.
     * @param accounts to which those who wrote and are mentioned are added
     */
    seen(ids: Iterable<CommentId>, accounts: Map<AccountId, Author>): Written[] {
      const under = new Map<PostId, boolean>()
      const seen: Written[] = []
      for (const id of ids) {
        const comment = comments.get(id)
        if (comment === undefined) continue
        const { postId } = comment
        if (!under.has(postId)) under.set(postId, posts.seen(postId, accounts) !== undefined)
        const author = authors.of(accounts, comment.authorId)
        // A reply is seen only under a comment that is seen.
        const above = comment.parentAuthorId === null ? author : authors.of(accounts, comment.parentAuthorId)
        authors.addTo(accounts, comment.mentionIds)
        if (under.get(postId)! && isWritten(comment) && isHeard(author) && isHeard(above)) seen.push(comment)
      }
      return seen
    },
  }
}

async function found(reading: Reading, viewerId: ViewerId, ids: readonly CommentId[]): Promise<Map<CommentId, Found>> {
  if (ids.length === 0) return new Map()
  const { db, kept } = reading
  const wanted = new Set(ids)
  const authors = authorLooks(reading, viewerId)
  const posts = postLooks(reading, viewerId, authors)
  const comments = commentLooks(reading, posts, authors)
  const standings = standingLooks(reading, viewerId)
  const look = () => {
    const accounts = new Map<AccountId, Author>()
    standings.look(wanted)
    return { seen: comments.seen(wanted, accounts), accounts }
  }
  const looks = [...comments.looks, ...posts.looks, ...authors.looks]
  const { seen, accounts } = await asOfOne(kept.changes, db, looks, look, standings.apart)
  return new Map(
    seen.map(comment => {
      const { id, revision } = comment
      return [id, { view: present(reading, viewerId, comment, standings.of(id), accounts), revision }]
    }),
  )
}

type Authors = ReadonlyMap<AccountId, Author>

/** The words of an erased person are null. */
type Written = CommentContent & { readonly text: string }
const isWritten = (comment: CommentContent): comment is Written => comment.text !== null

const isHeard = (author: Author | undefined): boolean => author !== undefined && maySeeComment(author.relation)

function present(
  reading: Reading,
  viewerId: ViewerId,
  { id, postId, postAuthorId, parentId, authorId, text, mentionIds, createdAt, editedAt }: Written,
  { likes, below, liked }: Standing,
  accounts: Authors,
): CommentView {
  const known = mentionIds.flatMap(id => accounts.get(id) ?? []).filter(({ relation }) => knowable(relation))
  const canEdit = viewerId === authorId
  return {
    id,
    postId,
    parentId,
    author: accountItem(reading, accounts.get(authorId)!),
    text,
    mentions: known.map(account => accountItem(reading, account)),
    createdAt,
    editedAt,
    counts: { likes, replies: below },
    viewer: { liked, canEdit, canDelete: canEdit || viewerId === postAuthorId },
  }
}
