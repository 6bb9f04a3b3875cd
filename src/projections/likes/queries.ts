import type { AccountId, PostId } from '../../kernel/ids.ts'
import { grouped, query, type RawBuilder, sql } from '../../kernel/sql.ts'
import { commentsModel } from '../comments/project.ts'
import { likesModel } from './project.ts'

const { likes, counts } = likesModel.t

/** One row of a list: an account or a post, and where it stands. */
export type LikeRow = { id: string; position: number }

/** Who likes a post, newest first, behind a position. */
export const likersOf = query<{ subject: PostId; after: number; n: number }, LikeRow & { id: AccountId }>(
  p => sql`
    select actor as id, position from ${likes} where subject::text = ${p.subject}::uuid::text and position < ${p.after}::bigint
    order by position desc limit ${p.n}`,
)

/** The posts that an account likes, the newest like first, behind a position. */
export const likedPostsOf = query<{ actor: AccountId; after: number; n: number }, LikeRow & { id: PostId }>(
  p => sql`
    select subject as id, position from ${likes} where actor::text = ${p.actor}::uuid::text and kind = 'post' and position < ${p.after}::bigint
    order by position desc limit ${p.n}`,
)

/** `others`: the likes of a subject without the actor's own; `below`: the comments of a post or the replies of a comment. */
export type CountsRow = { others: number; below: number }

const countsOf = (below: RawBuilder<unknown>, key: string, counter: string) =>
  grouped<{ subject: string; actor: AccountId }, CountsRow>(
    { subject: 'uuid', actor: 'uuid' },
    p => sql`
      select
        coalesce((select likes from ${counts} where subject = ${p.subject}::uuid), 0)
          - (exists (select from ${likes} where subject = ${p.subject}::uuid and actor = ${p.actor}::uuid))::int as others,
        coalesce((select ${sql.id(counter)} from ${below} where ${sql.id(key)} = ${p.subject}::uuid), 0) as below`,
  )

/** How many like a post or a comment, for each that is asked about. */
export const likeCounts = grouped<{ ids: readonly string[] }, { id: string; likes: number }>(
  { ids: 'uuid[]' },
  p => sql`select i.id, coalesce((select likes from ${counts} where subject = i.id), 0) as likes from unnest(${p.ids}) i (id)`,
)

/** Which of these the viewer likes. */
export const likedAmong = grouped<{ ids: readonly string[]; viewerId: AccountId }, { id: string }>(
  { ids: 'uuid[]', viewerId: 'uuid' },
  p => sql`select subject as id from ${likes} where actor = ${p.viewerId} and subject = any(${p.ids})`,
)

export const countsOfPost = countsOf(commentsModel.t.counts, 'post', 'comments')
export const countsOfComment = countsOf(commentsModel.t.replies, 'comment', 'replies')
