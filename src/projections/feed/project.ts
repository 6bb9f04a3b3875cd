import { AccountErased } from '../../domain/accounts/account.ts'
import { type FeedEvent, feedEvents } from '../../domain/feed/fan-out.ts'
import { PostDeleted, PostPublished } from '../../domain/posts/post.ts'
import { Followed, Unfollowed } from '../../domain/relationships/relationship.ts'
import type { EventOf, Recorded } from '../../kernel/events.ts'
import type { PostId } from '../../kernel/ids.ts'
import { unseen } from '../../kernel/projecting/head.ts'
import { lastOf, readModel, type Tables } from '../../kernel/projecting/model.ts'
import { rows } from '../../kernel/rows.ts'
import { type Db, sql } from '../../kernel/sql.ts'
import { tables } from './tables.ts'

type Grow = EventOf<typeof PostPublished | typeof Followed>
type Shrink = EventOf<typeof PostDeleted | typeof Unfollowed | typeof AccountErased>
type E = Grow | Shrink | FeedEvent
type T = Tables<keyof typeof tables>

/** How much stands ready for a viewer. */
export type Trimming = {
  /** How many posts are left when a new follow has brought its older ones. */
  readonly kept: number
  /** Which posts are marks in the feeds that they come to, by their ids (random, or made by a MAC): the log alone says which. */
  isMark(postId: PostId): boolean
  /** What is older than so many marks goes. */
  readonly marks: number
}

/**
 * To count every feed after every post would cost more than the fan-out itself. So one post in 64 is a mark, and a feed reaches back to its eighth last
 * one: some 500 posts, and no feed is read to know that.
 */
const trimming: Trimming = { kept: 500, isMark: postId => Number.parseInt(postId.slice(0, 2), 16) % 64 === 0, marks: 8 }

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
 * but growth, or nothing but loss, happens. Loss never moves a floor. In growth the marks of a viewer are those that came, in their order; and the floor
 * is the highest that any of its events asks for: marks ask by themselves, a follow asks for the place of the 500th post of then, and that is the same
 * whether what lies beneath an earlier floor is gone yet or not.
 */
export const feedModelOf = (by: Trimming) =>
  readModel<E>()({
    name: 'feed',
    version: 1,
    apart: true,
    events: [PostPublished, PostDeleted, Followed, Unfollowed, AccountErased, ...feedEvents],
    tables,
    async project(batch, tx, t) {
      let run: Recorded<E>[] = []
      const write = async (): Promise<void> => {
        const [first] = run
        if (first === undefined) return
        if (kinds[first.type] === 'grow') await grow(run as Recorded<Grow>[], by, tx, t)
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
  })

export const feedModel = feedModelOf(trimming)

async function grow(run: readonly Recorded<Grow>[], by: Trimming, tx: Db, t: T): Promise<void> {
  const published = run.flatMap(({ type, data, position }) => (type === 'PostPublished' ? [{ ...data, position }] : []))
  const followed = run.flatMap(({ type, data, position }) => (type === 'Followed' ? [{ ...data, position }] : []))
  const marks = published.filter(({ postId }) => by.isMark(postId))
  if (published.length > 0) await publish(published, tx, t)
  if (followed.length > 0) await follow(followed, by.kept, tx, t)
  if (published.length > 0) await fanOut(published, tx, t)
  if (marks.length > 0) await trimByMarks(marks, by.marks, tx, t)
  if (followed.length > 0) await trimByCount(followed, by.kept, tx, t)
}

type Published = { postId: string; authorId: string; position: number }
type Follow = { followerId: string; followeeId: string; position: number }

const postColumns = { position: 'bigint', postId: 'uuid', authorId: 'uuid' } as const
const followColumns = { position: 'bigint', followerId: 'uuid', followeeId: 'uuid' } as const

async function publish(published: readonly Published[], tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    with said as (
      select position, "postId" as post, "authorId" as author from ${rows('s', postColumns, published)}
      where not exists (select from ${t.erased} e where e.account = s."authorId")),
    themselves as (
      insert into ${t.edges} (viewer, author, position, fan_in)
      select author, author, min(position), exists (select from ${t.authors} a where a.author = said.author) from said group by author
      on conflict (viewer, author) do nothing)
    insert into ${t.posts} (position, post, author, fanned_out)
    select position, post, author, not exists (select from ${t.authors} a where a.author = said.author and a.stopped) from said`)
}

/** Brings the author's newest posts, as many as are kept: older ones lie beneath the floor that the trimming sets then. */
async function follow(followed: readonly Follow[], kept: number, tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    with come as (
      insert into ${t.edges} (viewer, author, position, fan_in)
      select "followerId", "followeeId", position, exists (select from ${t.authors} a where a.author = "followeeId")
      from ${rows('s', followColumns, followed)}
      where not exists (select from ${t.erased} e where e.account in (s."followerId", s."followeeId"))
      on conflict (viewer, author) do nothing
      returning viewer, author, position)
    insert into ${t.entries} (viewer, position)
    select c.viewer, p.position from come c left join ${t.floors} f on f.viewer = c.viewer
    cross join lateral (
      select p.position from ${t.posts} p
      where p.author = c.author and p.fanned_out and p.position < c.position and p.position >= coalesce(f.position, 0)
      order by p.position desc limit ${sql.lit(kept)}) p`)
}

/** Viewer by viewer: in a rebuild's batches each has dozens, which then stand on the same pages of table and index. */
async function fanOut(published: readonly Published[], tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    insert into ${t.entries} (viewer, position)
    select e.viewer, p.position from ${t.posts} p join ${t.edges} e on e.author = p.author and e.position <= p.position
    where p.position = any(${published.map(({ position }) => position)}::bigint[]) and p.fanned_out
    order by e.viewer, p.position`)
}

async function trimByMarks(published: readonly Published[], marks: number, tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    with come as (
      select e.viewer, array_agg(p.position order by p.position) as marks
      from ${t.posts} p join ${t.edges} e on e.author = p.author and e.position <= p.position
      where p.position = any(${published.map(({ position }) => position)}::bigint[]) and p.fanned_out group by e.viewer),
    every as (select come.viewer, coalesce(f.marks, '{}') || come.marks as marks from come left join ${t.floors} f on f.viewer = come.viewer),
    last as (select viewer, marks[greatest(1, cardinality(marks) - ${sql.lit(marks - 1)}):] as marks from every),
    moved as (
      insert into ${t.floors} as f (viewer, position, marks)
      select viewer, case when cardinality(marks) = ${sql.lit(marks)} then marks[1] end, marks from last
      on conflict (viewer) do update set position = greatest(f.position, excluded.position), marks = excluded.marks
      returning viewer, position)
    delete from ${t.entries} e using moved where e.viewer = moved.viewer and e.position < moved.position`)
}

/** Leaves who follows someone new the newest of what had come by then; these are never beneath a floor that is there. */
async function trimByCount(followed: readonly Follow[], kept: number, tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    with last as (select "followerId" as viewer, max(position) as position from ${rows('s', followColumns, followed)} group by "followerId"),
    moved as (
      insert into ${t.floors} (viewer, position, marks)
      select last.viewer, oldest.position, '{}' from last cross join lateral (
        select e.position from ${t.entries} e where e.viewer = last.viewer and e.position <= last.position
        order by e.position desc offset ${sql.lit(kept - 1)} limit 1) oldest
      on conflict (viewer) do update set position = excluded.position
      returning viewer, position)
    delete from ${t.entries} e using moved where e.viewer = moved.viewer and e.position < moved.position`)
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
