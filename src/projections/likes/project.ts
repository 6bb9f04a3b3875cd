import { AccountErased } from '../../domain/accounts/account.ts'
import { CommentDeleted } from '../../domain/comments/comment.ts'
import { type LikeEvent, likeEvents } from '../../domain/likes/like.ts'
import { PostDeleted } from '../../domain/posts/post.ts'
import type { EventOf, Recorded } from '../../kernel/events.ts'
import { countersMoved, moveCounters, tally } from '../../kernel/projecting/counters.ts'
import { lastOf, readModel, type Tables } from '../../kernel/projecting/model.ts'
import { anyRow, type Change } from '../../kernel/projecting/notes.ts'
import { writing } from '../../kernel/rows.ts'
import { type Db, type RawBuilder, sql } from '../../kernel/sql.ts'
import { tables } from './tables.ts'

type Seen = LikeEvent | EventOf<typeof PostDeleted | typeof CommentDeleted | typeof AccountErased>
type Moved = { subject: string; kind: 'post' | 'comment' }

const counter = ['subject', 'likes'] as const

/**
 * Likes of posts and comments. With an account go its own and those of what it wrote. Likes of comments that went with their post or with the comment
 * above them stay until that: nothing leads to them any more.
 */
export const likesModel = readModel<Seen>()({
  name: 'likes',
  version: 4,
  events: [...likeEvents, PostDeleted, CommentDeleted, AccountErased],
  tables,
  changes: changesOf,

  async project(batch, tx, t) {
    const things: string[] = []
    const accounts: string[] = []
    const toggles: Recorded<LikeEvent>[] = []
    for (const event of batch) {
      if (event.type === 'PostDeleted') things.push(event.data.postId)
      else if (event.type === 'CommentDeleted') things.push(event.data.commentId)
      else if (event.type === 'AccountErased') accounts.push(event.data.accountId)
      else toggles.push(event)
    }
    // What is gone stays gone, so it may go first: a like that comes after it, or came before it in this batch, finds it noted.
    const gone = [
      ...(await forget(things, ids => sql`subject = any(${ids})`, tx, t)),
      ...(await forget(accounts, ids => sql`actor::text = any(${ids}::text[]) or author = any(${ids})`, tx, t)),
    ]
    const lost = gone.map(({ subject }) => subject)
    await moveCounters(tx, t.counts, counter, tally([], lost))
    const moved = [...gone, ...(await toggle(toggles, tx, t))]
    return { topics: moved.filter(({ kind }) => kind === 'post').map(({ subject }) => `post:${subject}`) }
  },
})

/** Whose counter an event may move, and who likes another thing then. An erased account may have liked anything. */
function changesOf({ type, data, position }: Recorded<Seen>): Change[] {
  switch (type) {
    case 'AccountErased':
      return [{ key: anyRow, owner: false, position }]
    case 'PostDeleted':
      return [{ key: data.postId, owner: true, position }]
    case 'CommentDeleted':
      return [{ key: data.commentId, owner: true, position }]
    default:
      return [data.subject.id, data.actorId].map(key => ({ key, owner: false, position }))
  }
}

type T = Tables<keyof typeof tables>

/** One statement for all toggles: the last word of each like. Tells of rows that were really inserted or deleted, and counts those, so a redelivery moves nothing. */
async function toggle(toggles: readonly Recorded<LikeEvent>[], tx: Db, t: T): Promise<Moved[]> {
  if (toggles.length === 0) return []
  const last = lastOf(toggles, ({ data }) => `${data.actorId} ${data.subject.id}`)
  return writeToggles(
    tx,
    t,
    last.map(({ type, data: { actorId, subject, postId, authorId }, at, position }) => ({
      subject: subject.id,
      kind: subject.kind,
      actor: actorId,
      post: postId,
      author: authorId,
      at,
      position,
      liked: type === 'Liked',
    })),
  )
}

const toggleColumns = {
  subject: 'uuid',
  kind: 'text',
  actor: 'uuid',
  post: 'uuid',
  author: 'uuid',
  at: 'timestamptz',
  position: 'bigint',
  liked: 'boolean',
} as const

/** A row that is there already stays, only younger where it was unliked and liked again within the batch; xmax says which of the two it was. */
const writeToggles = writing(
  toggleColumns,
  (said, t: T) => sql<Moved>`
    with said as (select * from ${said}),
      went as (
        delete from ${t.likes} l using said s where l.subject = s.subject and l.actor = s.actor and not s.liked
        returning l.subject, l.kind),
      came as (
        insert into ${t.likes} as l (subject, actor, kind, post, author, at, position)
        select subject, actor, kind, post, author, at, position from said s
        where liked and not exists (select from ${t.gone} g where g.id in (s.subject, s.actor, s.author))
        on conflict (subject, actor) do update set at = excluded.at, position = excluded.position where l.position < excluded.position
        returning l.subject, l.kind, l.xmax = 0 as fresh),
      moved as (select subject, kind, -1 as by from went union all select subject, kind, 1 from came where fresh),
      moves as (select subject as id, sum(by)::int as by from moved group by subject having sum(by) <> 0),
      ${countersMoved(t.counts, counter)}
    select subject, kind from moved`,
)

async function forget(
  gone: readonly string[],
  where: (ids: RawBuilder<unknown>) => RawBuilder<unknown>,
  tx: Db,
  t: T,
): Promise<Moved[]> {
  if (gone.length === 0) return []
  const ids = sql`${sql.val(gone)}::uuid[]`
  return tx.run(sql`
    with noted as (insert into ${t.gone} (id) select unnest(${ids}) on conflict (id) do nothing)
    delete from ${t.likes} where ${where(ids)} returning subject, kind`)
}
