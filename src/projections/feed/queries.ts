import type { AccountId, PostId } from '../../kernel/ids.ts'
import { query, type RawBuilder, sql } from '../../kernel/sql.ts'
import { relationshipsModel } from '../relationships/project.ts'
import { feedModel } from './project.ts'

const { authors, edges, entries, floors, posts } = feedModel.t

export type FeedRow = { id: PostId; position: number }

type Page = { viewerId: AccountId; after: number; n: number }

/** The newest posts of authors, of each no more than the page wants, with an index scan each. */
const ofAuthors = (
  { viewerId, n }: { readonly [Name in keyof Page]: RawBuilder<Page[Name]> },
  edge: RawBuilder<unknown>,
  post: RawBuilder<unknown>,
) => sql`
  select p.post, p.position from ${edges} e cross join lateral (
    select p.post, p.position from ${posts} p where p.author = e.author and ${post} order by p.position desc limit ${n}) p
  where e.viewer = ${viewerId}::uuid and ${edge} order by p.position desc limit ${n}`

/**
 * A page of the feed, newest first, behind a position: what stands ready, merged with what was never fanned out; and, where these do not fill the page,
 * what lies beneath the viewer's floor. The three never overlap. What may be seen of it, the rules say.
 */
export const feedRows = query<Page, FeedRow>(
  p => sql`
    with floor as (select position from ${floors} where viewer = ${p.viewerId}::uuid),
    ready as (
      select p.post, r.position from (
        select e.position from ${entries} e where e.viewer = ${p.viewerId}::uuid and e.position < ${p.after}::bigint
        order by e.position desc limit ${p.n}) r
      join ${posts} p on p.position = r.position),
    never as (${ofAuthors(p, sql`e.fan_in`, sql`not p.fanned_out and p.position < ${p.after}::bigint and p.position >= coalesce((select position from floor), 0)`)}),
    above as (select * from ready union all select * from never),
    beneath as (
      ${ofAuthors(
        p,
        sql`exists (select from floor) and (select count(*) from above) < ${p.n}`,
        sql`p.position < least(${p.after}::bigint, (select position from floor))`,
      )})
    select post as id, position from (select * from above union all select * from beneath) as page order by position desc limit ${p.n}`,
)

/** How many followers an author has, and whether their fan-out is stopped. */
export const fanOutRow = query<{ authorId: AccountId }, { followers: number; stopped: boolean }>(
  p => sql`
    select coalesce((select followers from ${relationshipsModel.t.counts} where account = ${p.authorId}::uuid), 0) as followers,
      coalesce((select stopped from ${authors} where author = ${p.authorId}::uuid), false) as stopped`,
)
