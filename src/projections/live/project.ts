import { AccountErased } from '../../domain/accounts/account.ts'
import { CommentAdded, CommentEdited } from '../../domain/comments/comment.ts'
import { Liked } from '../../domain/likes/like.ts'
import { type NotifyingEvent, notificationsOf } from '../../domain/notifications/notifications.ts'
import { PostDeleted, PostEdited, PostPublished } from '../../domain/posts/post.ts'
import { Followed, FollowRequested, Unfollowed } from '../../domain/relationships/relationship.ts'
import { SessionEnded } from '../../domain/sessions/session.ts'
import type { EventsOf, Recorded } from '../../kernel/events.ts'
import { type JournalRow, journalKept, type LiveFact } from '../../kernel/live/journal.ts'
import { readModel, type Tables } from '../../kernel/projecting/model.ts'
import { writing } from '../../kernel/rows.ts'
import { type RawBuilder, sql } from '../../kernel/sql.ts'
import { tables } from './tables.ts'

const events = [
  AccountErased,
  SessionEnded,
  Followed,
  Unfollowed,
  FollowRequested,
  PostPublished,
  PostEdited,
  PostDeleted,
  CommentAdded,
  CommentEdited,
  Liked,
] as const

type LiveEvent = EventsOf<typeof events>

/** Whom an event is told, as what: the table of live messages. `followed` is for the router alone. */
export function liveFacts(event: Recorded<LiveEvent>): LiveFact[] {
  const told = notificationsOf(event as Recorded<NotifyingEvent>).map(
    ({ accountId, notificationId }): LiveFact => ({
      kind: 'account',
      key: accountId,
      type: 'notification',
      ids: { notificationId },
    }),
  )
  return [...factsOf(event), ...told]
}

function factsOf(event: Recorded<LiveEvent>): LiveFact[] {
  switch (event.type) {
    case 'PostPublished': {
      const { postId, authorId } = event.data
      return [{ kind: 'followers', key: authorId, type: 'feed.post', ids: { postId } }]
    }
    case 'PostEdited': {
      const { postId, authorId, previousAudience } = event.data
      return [{ kind: 'followers', key: authorId, type: 'post.updated', ids: { postId, authorId, previousAudience } }]
    }
    case 'PostDeleted': {
      const { postId, authorId, audience } = event.data
      return [{ kind: 'followers', key: authorId, type: 'post.removed', ids: { postId, authorId, audience } }]
    }
    case 'Followed': {
      const { followerId, followeeId } = event.data
      return [{ kind: 'account', key: followerId, type: 'followed', ids: { accountId: followeeId } }]
    }
    case 'Unfollowed': {
      const { followerId, followeeId } = event.data
      return [{ kind: 'account', key: followerId, type: 'feed.removed', ids: { accountId: followeeId } }]
    }
    case 'SessionEnded': {
      const { accountId, sessionId } = event.data
      return [{ kind: 'account', key: accountId, type: 'session.revoked', ids: { sessionId } }]
    }
    case 'AccountErased': {
      const { accountId } = event.data
      return [
        { kind: 'account', key: accountId, type: 'session.revoked', ids: { sessionId: null } },
        { kind: 'followers', key: accountId, type: 'feed.removed', ids: { accountId } },
      ]
    }
    default:
      return []
  }
}

/** Rows after which what is too old is taken away, or the beginning of an hour: looking for it in each batch costs more than it finds. */
const trimmedEvery = 1_000
const hourOf = (at: string): number => Math.floor(Date.parse(at) / 3_600_000)
/** The hour of the last row that this process wrote into each journal: at the first one it looks too. Where that was undone it looks so much later. */
const hours = new WeakMap<RawBuilder<unknown>, number>()

const columns = {
  ordinal: 'bigint',
  position: 'bigint',
  at: 'timestamptz',
  kind: 'text',
  key: 'text',
  type: 'text',
  ids: 'json',
} as const

/** Gives the rows their seq. Answers the first one's. */
const write = writing(
  columns,
  (said, t: Tables<keyof typeof tables>) => sql<{ first: number }>`
    with said as (select * from ${said}),
    sum as (select count(*) as n, max(position) as position from said),
    head as (
      insert into ${t.head} as h (single, seq, position) select true, n, position from sum
      on conflict (single) do update set seq = h.seq + excluded.seq, position = excluded.position
      returning seq - (select n from sum) + 1 as first),
    written as (
      insert into ${t.journal} (seq, position, at, kind, key, type, ids)
      select first + ordinal, position, at, kind, key, type, ids from head, said)
    select first from head`,
)

/** The live journal: what happened since it began, in the log's order, for whom. State: what is not kept any more cannot be made again. */
export const liveModel = readModel<LiveEvent>()({
  name: 'live',
  version: 1,
  kind: 'state',
  from: 'now',
  events,
  tables,
  async project(batch, tx, t) {
    const facts = batch.flatMap(event => liveFacts(event).map(fact => ({ ...fact, position: event.position, at: event.at })))
    const last = facts.at(-1)
    if (last === undefined) return
    const [head] = await write(
      tx,
      t,
      facts.map((fact, ordinal) => ({ ordinal, ...fact })),
    )
    const { first } = head!
    const live: JournalRow[] = facts.map((fact, index) => ({ seq: first + index, ...fact }))
    const isDue = Math.floor((first + facts.length - 1) / trimmedEvery) > Math.floor((first - 1) / trimmedEvery)
    const hour = hourOf(last.at)
    if (isDue || hours.get(t.journal) !== hour) {
      hours.set(t.journal, hour)
      const kept = new Date(Date.parse(last.at) - journalKept).toISOString()
      await tx.run(sql`delete from ${t.journal} where at < ${kept}`)
    }
    return { live }
  },
})
