import { AccountErased } from '../../domain/accounts/account.ts'
import { type FeedEvent, feedEvents } from '../../domain/feed/fan-out.ts'
import { PostDeleted, PostPublished } from '../../domain/posts/post.ts'
import { Followed, Unfollowed } from '../../domain/relationships/relationship.ts'
import type { EventOf, Recorded } from '../../kernel/events.ts'
import type { PostId } from '../../kernel/ids.ts'
import { headOf } from '../../kernel/projecting/head.ts'
import { lastOf, readModel, type Tables } from '../../kernel/projecting/model.ts'
import { rows } from '../../kernel/rows.ts'
import { type Db, sql } from '../../kernel/sql.ts'
import { tables } from './tables.ts'

const { unseen } = headOf('feed')

type Grow = EventOf<typeof PostPublished | typeof Followed>
type Shrink = EventOf<typeof PostDeleted | typeof Unfollowed | typeof AccountErased>
type E = Grow | Shrink | FeedEvent
type T = Tables<keyof typeof tables>

/** How much stands ready for a viewer. */
export type Trimming = {
  /** Which posts are marks in the feeds that they come to, by their ids (random, or made by a MAC): the log alone says which. */
  isMark(postId: PostId): boolean
  /** What is older than so many marks goes. */
  readonly marks: number
}

/**
 * To count every feed after every post would cost more than the fan-out itself. So one post in 64 is a mark, and a feed reaches back to its eighth last
 * one: some 500 posts, and no feed is read to know that.
 */
const trimming: Trimming = { isMark: postId => Number.parseInt(postId.slice(0, 2), 16) % 64 === 0, marks: 8 }

/** Runs of events in which order does not matter to the rows. */
const kinds = {
  PostPublished: 'grow',
  Followed: 'grow',
  PostDeleted: 'shrink',
  Unfollowed: 'shrink',
  AccountErased: 'shrink',
  FanOutStopped: 'turn',
  FanOutResumed: 'turn',
} as const satisfies Record<E['type'], string>

/**
 * Home feeds, fanned out as posts are written. The rows are those that one event after the other would give, whatever the batches: within a run nothing
 * but growth, or nothing but loss, happens. Loss never moves a floor. In growth a viewer's marks are the newest of all that came, by posts or by a follow
 * that brought older ones, in whatever order; and the floor is the oldest of them.
 */
export const feedModelOf = (by: Trimming) =>
  readModel<E>()({
    name: 'feed',
    version: 2,
    apart: true,
    events: [PostPublished, PostDeleted, Followed, Unfollowed, AccountErased, ...feedEvents],
    tables,
    async project(batch, tx, t, filling) {
      let run: Recorded<E>[] = []
      const write = async (): Promise<void> => {
        const [first] = run
        if (first === undefined) return
        if (kinds[first.type] === 'grow') await grow(run as Recorded<Grow>[], by, tx, t, filling)
        else if (kinds[first.type] === 'shrink') await shrink(run as Recorded<Shrink>[], tx, t)
        else await turn(run as Recorded<FeedEvent>[], tx, t)
        run = []
      }
      for (const event of await unseen(batch, tx, t.head)) {
        if (run.length > 0 && kinds[run[0]!.type] !== kinds[event.type]) await write()
        run.push(event)
      }
      await write()
    },
    derive,
  })

export const feedModel = feedModelOf(trimming)

async function grow(run: readonly Recorded<Grow>[], by: Trimming, tx: Db, t: T, filling: boolean): Promise<void> {
  const published = run.flatMap(({ type, data, position }) =>
    type === 'PostPublished' ? [{ ...data, position, mark: by.isMark(data.postId) }] : [],
  )
  const followed = run.flatMap(({ type, data, position }) => (type === 'Followed' ? [{ ...data, position }] : []))
  const marks = published.filter(({ mark }) => mark)
  if (published.length > 0) await publish(published, tx, t)
  if (followed.length > 0) await follow(followed, tx, t)
  if (published.length > 0 && !filling) await fanOut(published, tx, t)
  if (marks.length > 0 || followed.length > 0) await trim(marks, followed, by.marks, tx, t)
  if (followed.length > 0 && !filling) await bring(followed, tx, t)
}

type Published = { postId: string; authorId: string; position: number; mark: boolean }
type Follow = { followerId: string; followeeId: string; position: number }

const postColumns = { position: 'bigint', postId: 'uuid', authorId: 'uuid', mark: 'boolean' } as const
const followColumns = { position: 'bigint', followerId: 'uuid', followeeId: 'uuid' } as const

async function publish(published: readonly Published[], tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    with said as (
      select position, "postId" as post, "authorId" as author, mark,
        not exists (select from ${t.authors} a where a.author = s."authorId" and a.stopped) as fanned_out
      from ${rows('s', postColumns, published)}
      where not exists (select from ${t.erased} e where e.account = s."authorId")),
    themselves as (
      insert into ${t.edges} (viewer, author, position, fan_in)
      select author, author, min(position), exists (select from ${t.authors} a where a.author = said.author) from said group by author
      on conflict (viewer, author) do nothing),
    marking as (insert into ${t.marks} (author, position) select author, position from said where mark and fanned_out)
    insert into ${t.posts} (position, post, author, fanned_out) select position, post, author, fanned_out from said`)
}

async function follow(followed: readonly Follow[], tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    insert into ${t.edges} (viewer, author, position, fan_in)
    select "followerId", "followeeId", position, exists (select from ${t.authors} a where a.author = "followeeId")
    from ${rows('s', followColumns, followed)}
    where not exists (select from ${t.erased} e where e.account in (s."followerId", s."followeeId"))
    on conflict (viewer, author) do nothing`)
}

/** The follows among these that were new: an edge tells by which event it came. */
const come = (followed: readonly Follow[], t: T) => sql`
  select e.viewer, e.author, e.position from ${rows('s', followColumns, followed)}
  join ${t.edges} e on e.viewer = s."followerId" and e.author = s."followeeId" and e.position = s.position`

/** Viewer by viewer: in large batches each has dozens, which then stand on the same pages of table and index. */
async function fanOut(published: readonly Published[], tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    insert into ${t.entries} (viewer, position)
    select e.viewer, p.position from ${t.posts} p join ${t.edges} e on e.author = p.author and e.position <= p.position
    where p.position = any(${published.map(({ position }) => position)}::bigint[]) and p.fanned_out
    order by e.viewer, p.position`)
}

/** Raises the floors of those to whom marks came: new ones, or the newest of whoever they follow now. */
async function trim(marks: readonly Published[], followed: readonly Follow[], kept: number, tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    with come as (
      select e.viewer, m.position from ${t.marks} m join ${t.edges} e on e.author = m.author and e.position <= m.position
      where (m.author, m.position) in (select "authorId", position from ${rows('s', postColumns, marks)})
      union
      select c.viewer, m.position from (${come(followed, t)}) c cross join lateral (
        select m.position from ${t.marks} m where m.author = c.author and m.position < c.position order by m.position desc limit ${sql.lit(kept)}) m),
    every as (
      select viewer, position from come
      union
      select f.viewer, unnest(f.marks) from (select distinct viewer from come) c join ${t.floors} f on f.viewer = c.viewer),
    newest as (select viewer, position, row_number() over (partition by viewer order by position desc) as nth from every),
    last as (select viewer, array_agg(position order by position) as marks from newest where nth <= ${sql.lit(kept)} group by viewer),
    moved as (
      insert into ${t.floors} (viewer, position, marks)
      select viewer, case when cardinality(marks) = ${sql.lit(kept)} then marks[1] end, marks from last
      on conflict (viewer) do update set position = excluded.position, marks = excluded.marks
      returning viewer, position)
    delete from ${t.entries} e using moved where e.viewer = moved.viewer and e.position < moved.position`)
}

/** Brings an author's older posts to who follows them now, down to the floor that their marks have just raised. */
async function bring(followed: readonly Follow[], tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    insert into ${t.entries} (viewer, position)
    select c.viewer, p.position from (${come(followed, t)}) c left join ${t.floors} f on f.viewer = c.viewer
    join ${t.posts} p on p.author = c.author and p.fanned_out and p.position < c.position and p.position >= coalesce(f.position, 0)`)
}

/**
 * What stands ready follows from edges, posts and floors: a log that is replayed leaves it to the end, where most of it would not be there any more. By the index of
 * each author's posts, from the viewer's floor on: joined whole, every post would be looked at for every follower.
 */
async function derive(tx: Db, t: T): Promise<void> {
  for (const table of [t.edges, t.posts, t.floors]) await tx.run(sql`analyze ${table}`)
  await tx.run(sql`
    insert into ${t.entries} (viewer, position)
    select e.viewer, p.position from ${t.edges} e left join ${t.floors} f on f.viewer = e.viewer
    cross join lateral (
      select p.position from ${t.posts} p where p.author = e.author and p.fanned_out and p.position >= coalesce(f.position, 0) offset 0) p
    order by e.viewer, p.position`)
}

/** Loss does not lower a floor: what comes up from beneath it is looked up by author. */
async function shrink(run: readonly Recorded<Shrink>[], tx: Db, t: T): Promise<void> {
  const deleted = run.flatMap(({ type, data }) => (type === 'PostDeleted' ? [data.postId] : []))
  const unfollowed = run.flatMap(({ type, data, position }) => (type === 'Unfollowed' ? [{ ...data, position }] : []))
  const erased = run.flatMap(({ type, data }) => (type === 'AccountErased' ? [data.accountId] : []))
  if (deleted.length > 0) {
    await tx.run(sql`
      with gone as (delete from ${t.posts} where post = any(${deleted}::uuid[]) returning author, position, fanned_out)
      delete from ${t.entries} e using gone join ${t.edges} on edges.author = gone.author
      where gone.fanned_out and e.viewer = edges.viewer and e.position = gone.position`)
  }
  if (unfollowed.length > 0) {
    await tx.run(sql`
      with gone as (
        delete from ${t.edges} e using ${rows('s', followColumns, unfollowed)} where e.viewer = s."followerId" and e.author = s."followeeId"
        returning e.viewer, e.author)
      delete from ${t.entries} e using gone left join ${t.floors} f on f.viewer = gone.viewer
        join ${t.posts} p on p.author = gone.author and p.fanned_out and p.position >= coalesce(f.position, 0)
      where e.viewer = gone.viewer and e.position = p.position`)
  }
  if (erased.length > 0) await erase(erased, tx, t)
}

async function erase(erased: readonly string[], tx: Db, t: T): Promise<void> {
  const ids = sql`${sql.val(erased)}::uuid[]`
  await tx.run(sql`
    delete from ${t.entries} e using ${t.edges} d left join ${t.floors} f on f.viewer = d.viewer
      join ${t.posts} p on p.author = d.author and p.fanned_out and p.position >= coalesce(f.position, 0)
    where d.author = any(${ids}) and e.viewer = d.viewer and e.position = p.position`)
  await tx.run(sql`
    with noted as (insert into ${t.erased} (account) select unnest(${ids}) on conflict (account) do nothing),
    following as (delete from ${t.edges} where viewer = any(${ids})),
    followers as (delete from ${t.edges} where author = any(${ids}) and viewer <> all(${ids})),
    posts as (delete from ${t.posts} where author = any(${ids})),
    marks as (delete from ${t.marks} where author = any(${ids})),
    authors as (delete from ${t.authors} where author = any(${ids})),
    floors as (delete from ${t.floors} where viewer = any(${ids}))
    delete from ${t.entries} where viewer = any(${ids})`)
}

/** What was fanned out stays so, and what was not is looked up ever after: neither turn moves an entry. */
async function turn(run: readonly Recorded<FeedEvent>[], tx: Db, t: T): Promise<void> {
  const last = lastOf(run, ({ data }) => data.authorId).map(({ type, data }) => ({
    author: data.authorId,
    stopped: type === 'FanOutStopped',
  }))
  const ever = run.flatMap(({ type, data }) => (type === 'FanOutStopped' ? [data.authorId] : []))
  await tx.run(sql`
    insert into ${t.authors} (author, stopped) select author, stopped from ${rows('s', { author: 'uuid', stopped: 'boolean' }, last)}
    where not exists (select from ${t.erased} e where e.account = s.author)
    on conflict (author) do update set stopped = excluded.stopped`)
  await tx.run(sql`update ${t.edges} set fan_in = true where author = any(${ever}::uuid[]) and not fan_in`)
}
