import type { AccountId, CommentId, PostId } from '../../kernel/ids.ts'
import { found, grouped, query, type RawBuilder, sql } from '../../kernel/sql.ts'
import { likesModel } from '../likes/project.ts'
import { commentsModel } from './project.ts'

const { comments, replies } = commentsModel.t
const { likes, counts } = likesModel.t

export type CommentRow = {
  id: CommentId
  postId: PostId
  postAuthorId: AccountId
  parentId: CommentId | null
  /** Whose the comment is that it stands under. */
  parentAuthorId: AccountId | null
  authorId: AccountId
  text: string | null
  mentionIds: AccountId[]
  createdAt: string
  editedAt: string | null
  revision: number
  likes: number
  replies: number
  /** By the viewer. */
  liked: boolean
}

/** Whole comments with their counts, in one statement. */
export const commentRows = grouped<{ ids: readonly CommentId[]; viewerId: AccountId | null }, CommentRow>(
  { ids: 'uuid[]', viewerId: 'uuid' },
  p => sql`
    select c.id, c.post as "postId", c.post_author as "postAuthorId", c.parent as "parentId", p.author as "parentAuthorId",
      c.author as "authorId", c.text, c.mention_ids as "mentionIds", c.created_at as "createdAt", c.edited_at as "editedAt", c.revision,
      coalesce(l.likes, 0) as likes, coalesce(r.replies, 0) as replies,
      ${found(sql`from ${likes} where subject = c.id and actor = ${p.viewerId}::uuid`)} as liked
    from ${comments} c left join ${comments} p on p.id = c.parent left join ${counts} l on l.subject = c.id
      left join ${replies} r on r.comment = c.id
    where c.id = any(${p.ids})`,
)

/** One row of a list of comments. */
export type CommentKey = { id: CommentId; position: number }

type Page = { of: string; after: number; n: number }

const keys = (where: RawBuilder<unknown>, order: 'newest first' | 'oldest first') =>
  grouped<Page, CommentKey>({ of: 'uuid', after: 'bigint', n: 'limit' }, p =>
    order === 'newest first'
      ? sql`select id, position from ${comments} where ${where} = ${p.of}::uuid and position < ${p.after}::bigint order by position desc limit ${p.n}`
      : sql`select id, position from ${comments} where ${where} = ${p.of}::uuid and position > ${p.after}::bigint order by position limit ${p.n}`,
  )

/** The comments of a post, without replies, behind a position. */
export const newestComments = keys(sql`parent is null and post`, 'newest first')
export const newerComments = keys(sql`parent is null and post`, 'oldest first')
/** The replies to a comment, behind a position. */
export const oldestReplies = keys(sql`parent`, 'oldest first')

/** Where a comment stands: the position of the top-level comment that it is or belongs to, and on which post. */
export const placeOf = query<{ id: CommentId }, { postId: PostId; topId: CommentId; position: number }>(
  p => sql`
    select top.post as "postId", top.id as "topId", top.position
    from ${comments} c join ${comments} top on top.id = coalesce(c.parent, c.id) where c.id = ${p.id}::uuid`,
)
