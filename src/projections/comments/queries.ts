import type { AccountId, CommentId, PostId } from '../../kernel/ids.ts'
import { grouped, query, type RawBuilder, sql } from '../../kernel/sql.ts'
import { commentsModel } from './project.ts'

const { comments, counts, replies } = commentsModel.t

export type CommentContent = {
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
}

/** Comments by id, in no order. Asks no rules. */
export const commentContents = grouped<{ ids: readonly CommentId[] }, CommentContent>(
  { ids: 'uuid[]' },
  p => sql`
    select c.id, c.post as "postId", c.post_author as "postAuthorId", c.parent as "parentId",
      (select author from ${comments} p where p.id = c.parent) as "parentAuthorId", c.author as "authorId", c.text,
      c.mention_ids as "mentionIds", c.created_at as "createdAt", c.edited_at as "editedAt", c.revision
    from ${comments} c where c.id = any(${p.ids})`,
)

/** How many comments stand under a post, or replies under a comment, for each that is asked about. */
export const countsBelow = grouped<{ ids: readonly string[] }, { id: string; below: number }>(
  { ids: 'uuid[]' },
  p => sql`
    select i.id, coalesce((select comments from ${counts} where post = i.id), (select replies from ${replies} where comment = i.id), 0) as below
    from unnest(${p.ids}) i (id)`,
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
