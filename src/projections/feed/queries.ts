import type { AccountId, PostId } from '../../kernel/ids.ts'
import { type Db, grouped, query, type RawBuilder, sql } from '../../kernel/sql.ts'
import { relationshipsModel } from '../relationships/project.ts'
import { feedModel } from './project.ts'

const { authors, edges, entries, floors, posts } = feedModel.t

export type FeedRow = { id: PostId; position: number }

type Page = { viewerId: AccountId; after: number; n: number }
const pageTypes = { viewerId: 'uuid', after: 'bigint', n: 'limit' } as const

/** The newest posts of authors, of each no more than the page wants, with an index scan each. */
const ofAuthors = (
  { viewerId, n }: { readonly [Name in keyof Page]: RawBuilder<Page[Name]> },
  edge: RawBuilder<unknown>,
  post: RawBuilder<unknown>,
) => sql`
  select p.post as id, p.position from ${edges} e cross join lateral (
    select p.post, p.position from ${posts} p where p.author = e.author and ${post} order by p.position desc limit ${n}) p
  where e.viewer = ${viewerId}::uuid and ${edge} order by p.position desc limit ${n}`

const floor = (p: { readonly viewerId: RawBuilder<AccountId> }) =>
  sql`(select position from ${floors} where viewer = ${p.viewerId}::uuid)`

/**
 * What stands ready behind a position, newest first, merged with what was never fanned out: all that there is down to the viewer's floor. `offset 0` has
 * each entry's post looked up: left to itself Postgres may merge with all posts since, and most are of others.
 */
const above = grouped<Page, FeedRow>(
  pageTypes,
  p => sql`
    select * from (
      (select p.id, e.position from ${entries} e
       cross join lateral (select p.post as id from ${posts} p where p.position = e.position offset 0) p
       where e.viewer = ${p.viewerId}::uuid and e.position < ${p.after}::bigint order by e.position desc limit ${p.n})
      union all
      (${ofAuthors(p, sql`e.fan_in`, sql`not p.fanned_out and p.position < ${p.after}::bigint and p.position >= coalesce(${floor(p)}, 0)`)})
    ) page order by position desc limit ${p.n}`,
)

/** What lies behind a position beneath the floor, looked up by author. */
const beneath = grouped<Page, FeedRow>(pageTypes, p =>
  ofAuthors(p, sql`${floor(p)} is not null`, sql`p.position < least(${p.after}::bigint, ${floor(p)})`),
)

/**
 * A page of the feed, newest first, behind a position. What may be seen of it, the rules say. Where the floor rises between the two statements the page
 * still has no gap and no double: what the first did not find above its floor is not there, so the second finds only what lay beneath it.
 */
export async function feedRows(db: Db, page: Page): Promise<FeedRow[]> {
  const found = await above(db, page)
  if (found.length === page.n) return found
  return [...found, ...(await beneath(db, { ...page, after: found.at(-1)?.position ?? page.after, n: page.n - found.length }))]
}

/** How many followers an author has, and whether their fan-out is stopped. */
export const fanOutRow = query<{ authorId: AccountId }, { followers: number; stopped: boolean }>(
  p => sql`
    select coalesce((select followers from ${relationshipsModel.t.counts} where account = ${p.authorId}::uuid), 0) as followers,
      coalesce((select stopped from ${authors} where author = ${p.authorId}::uuid), false) as stopped`,
)
