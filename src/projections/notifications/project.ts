import { AccountErased } from '../../domain/accounts/account.ts'
import { CommentDeleted } from '../../domain/comments/comment.ts'
import { Unliked } from '../../domain/likes/like.ts'
import {
  type NotifyingEvent,
  notificationIds,
  notificationsOf,
  notifyingEvents,
  type Told,
} from '../../domain/notifications/notifications.ts'
import { NotificationsSeen } from '../../domain/notifications/seen.ts'
import { PostDeleted } from '../../domain/posts/post.ts'
import { FollowRequestEnded, Unfollowed } from '../../domain/relationships/relationship.ts'
import type { EventOf, Recorded } from '../../kernel/events.ts'
import { headOf } from '../../kernel/projecting/head.ts'
import { readModel, type Tables } from '../../kernel/projecting/model.ts'
import { anyRow, noteChanges } from '../../kernel/projecting/notes.ts'
import { rows, writing } from '../../kernel/rows.ts'
import { type Db, sql, together } from '../../kernel/sql.ts'
import { tables } from './tables.ts'

type E =
  | NotifyingEvent
  | EventOf<
      | typeof Unliked
      | typeof Unfollowed
      | typeof FollowRequestEnded
      | typeof PostDeleted
      | typeof CommentDeleted
      | typeof AccountErased
      | typeof NotificationsSeen
    >
type T = Tables<keyof typeof tables>

const { unseen, isUnseen } = headOf('notifications')
const isNew = isUnseen(sql`s.position`)

/** One step of an event, at its position. Steps of one kind that follow each other are written together. */
type Step = { position: number } & Doing
type Doing =
  | ({ kind: 'act'; active: boolean; at: string; parentId: string | null } & Told)
  | { kind: 'reply'; reply: string; parent: string }
  | { kind: 'unfollow'; followerId: string; followeeId: string }
  | { kind: 'drop'; id: string; account: string }
  | { kind: 'forget'; id: string; isAccount: boolean }
  | { kind: 'see'; account: string; upTo: number }

type Steps<Kind extends Step['kind']> = readonly Extract<Step, { kind: Kind }>[]

/** What each account is told of others' acts: by ids alone, no word of anybody. */
export const notificationsModel = readModel<E>()({
  name: 'notifications',
  version: 3,
  events: [
    ...notifyingEvents,
    Unliked,
    Unfollowed,
    FollowRequestEnded,
    PostDeleted,
    CommentDeleted,
    AccountErased,
    NotificationsSeen,
  ],
  tables,
  async project(batch, tx, t, filling) {
    const steps = batch.flatMap(event => stepsOf(event).map((doing): Step => ({ ...doing, position: event.position })))
    const changes = steps.flatMap(step => {
      const key = changedBy(step)
      return key === null ? [] : { key, owner: false, position: step.position }
    })
    // At once: each statement asks by itself what the first one found.
    await together([unseen(batch, tx, t.head), writeAll(steps, tx, t), filling || noteChanges(tx, t.changes, changes)])
  },
})

/**
 * Whose list a step may change. What was told of a post or comment that is gone may be kept: the rules leave it out. Who is erased may have acted
 * on anything.
 */
function changedBy(step: Doing): string | null {
  switch (step.kind) {
    case 'act':
      return step.accountId
    case 'unfollow':
      return step.followeeId
    case 'drop':
    case 'see':
      return step.account
    case 'forget':
      return step.isAccount ? anyRow : null
    case 'reply':
      return null
  }
}

function stepsOf(event: Recorded<E>): Doing[] {
  const { at } = event
  switch (event.type) {
    case 'Unliked': {
      const { actorId, subject, postId, authorId } = event.data
      const told = {
        notificationId: notificationIds.likes(subject.id),
        accountId: authorId,
        type: 'like',
        actorId,
        postId,
      } as const
      const commentId = subject.kind === 'comment' ? subject.id : null
      return [{ kind: 'act', active: false, at, parentId: null, commentId, ...told }]
    }
    case 'Unfollowed': {
      const { followerId, followeeId } = event.data
      return [
        { kind: 'unfollow', followerId, followeeId },
        { kind: 'drop', id: notificationIds.accepted(followerId, followeeId), account: followerId },
      ]
    }
    case 'FollowRequestEnded':
      return [requestGone(event.data)]
    case 'PostDeleted':
      return [{ kind: 'forget', id: event.data.postId, isAccount: false }]
    case 'CommentDeleted':
      return [{ kind: 'forget', id: event.data.commentId, isAccount: false }]
    case 'AccountErased':
      return [{ kind: 'forget', id: event.data.accountId, isAccount: true }]
    case 'NotificationsSeen':
      return [{ kind: 'see', account: event.data.accountId, upTo: event.data.upTo }]
    default: {
      const parentId = event.type === 'CommentAdded' ? event.data.parentId : null
      const acts = notificationsOf(event).map(told => ({ kind: 'act', active: true, at, parentId, ...told }) as const)
      if (event.type === 'CommentAdded' && parentId !== null)
        return [{ kind: 'reply', reply: event.data.commentId, parent: parentId }, ...acts]
      if (event.type !== 'Followed' || !event.data.accepted) return acts
      return [requestGone(event.data), ...acts]
    }
  }
}

/** A request that was answered or taken back. */
const requestGone = ({
  followerId,
  followeeId,
}: Pick<EventOf<typeof FollowRequestEnded>['data'], 'followerId' | 'followeeId'>): Doing => ({
  kind: 'drop',
  id: notificationIds.request(followerId, followeeId),
  account: followeeId,
})

/** In their order, those of one kind that follow each other at once. */
async function writeAll(steps: readonly Step[], tx: Db, t: T): Promise<void> {
  let run: Step[] = []
  for (const step of steps) {
    if (run.length > 0 && run[0]!.kind !== step.kind) {
      await write(run, tx, t)
      run = []
    }
    run.push(step)
  }
  await write(run, tx, t)
}

async function write(run: readonly Step[], tx: Db, t: T): Promise<void> {
  switch (run[0]?.kind) {
    case 'act':
      return act(run as Steps<'act'>, tx, t)
    case 'reply':
      return reply(run as Steps<'reply'>, tx, t)
    case 'unfollow':
      return unfollow(run as Steps<'unfollow'>, tx, t)
    case 'drop':
      return drop(run as Steps<'drop'>, tx, t)
    case 'forget':
      return forget(run as Steps<'forget'>, tx, t)
    case 'see':
      return see(run as Steps<'see'>, tx, t)
    case undefined:
      return
  }
}

const actColumns = {
  notificationId: 'uuid',
  accountId: 'uuid',
  type: 'text',
  postId: 'uuid',
  commentId: 'uuid',
  parentId: 'uuid',
  actorId: 'uuid',
  position: 'bigint',
  latest: 'bigint',
  at: 'timestamptz',
  active: 'boolean',
  told: 'boolean',
} as const

/** Each act's first telling and last word. An act that is there already moves the count alone, not the notification's place. */
async function act(run: Steps<'act'>, tx: Db, t: T): Promise<void> {
  /** `latest`: the position of the last word; at `position` it was told first. */
  const acts = new Map<string, Steps<'act'>[number] & { told: boolean; latest: number }>()
  for (const step of run) {
    const key = `${step.notificationId} ${step.actorId}`
    const before = acts.get(key)
    const { active, position: latest } = step
    acts.set(key, before?.told ? { ...before, active, latest } : { ...step, told: active, latest })
  }
  await writeActs(tx, t, [...acts.values()])
}

const writeActs = writing(
  actColumns,
  (said, t: T) => sql`
    with said as (
      select * from ${said}
      where ${isUnseen(sql`said.latest`)}
        and not exists (select from ${t.gone} g where g.id in (said."postId", said."commentId", said."parentId", said."actorId", said."accountId"))),
    acting as (
      select said.*, a.actor is null as fresh, said.active::int - coalesce(a.active, false)::int as by
      from said left join ${t.acts} a on a.notification = said."notificationId" and a.actor = said."actorId"
      where said.told or a.actor is not null),
    written as (
      insert into ${t.acts} as a (notification, actor, position, active)
      select "notificationId", "actorId", position, active from acting
      on conflict (actor, notification) do update set active = excluded.active where a.active <> excluded.active)
    insert into ${t.notifications} as n (id, account, type, post, comment, count, first, position, at)
    select "notificationId", "accountId", type, "postId", "commentId", sum(by),
      coalesce(min(position) filter (where fresh), 0), coalesce(max(position) filter (where fresh), 0),
      coalesce((array_agg(at order by position desc) filter (where fresh))[1], '-infinity')
    from acting group by "notificationId", "accountId", type, "postId", "commentId"
    on conflict (id) do update set
      count = n.count + excluded.count,
      position = greatest(n.position, excluded.position),
      at = case when excluded.position > n.position then excluded.at else n.at end`,
)

/** A reply under a comment that is gone is gone too. */
async function reply(run: Steps<'reply'>, tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    with said as (
      select s.*, exists (select from ${t.gone} g where g.id = s.parent) as late from ${rows('s', { reply: 'uuid', parent: 'uuid', position: 'bigint' }, run)}
      where ${isNew}),
    late as (insert into ${t.gone} (id) select reply from said where late on conflict (id) do nothing)
    insert into ${t.replies} (reply, parent) select reply, parent from said where not late on conflict (reply) do nothing`)
}

/** On whichever day the follow was told. */
async function unfollow(run: Steps<'unfollow'>, tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    with went as (
      update ${t.acts} a set active = false
      from ${rows('s', { followerId: 'uuid', followeeId: 'uuid', position: 'bigint' }, run)}
        join ${t.notifications} n on n.account = s."followeeId" and n.type = 'follow'
      where ${isNew} and a.actor = s."followerId" and a.notification = n.id and a.active
      returning a.notification)
    update ${t.notifications} n set count = n.count - w.by
    from (select notification, count(*)::int as by from went group by notification) w where n.id = w.notification`)
}

async function drop(run: Steps<'drop'>, tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    with gone as (
      delete from ${t.notifications} n using ${rows('s', { id: 'uuid', position: 'bigint' }, run)} where n.id = s.id and ${isNew} returning n.id)
    delete from ${t.acts} a using gone where a.notification = gone.id`)
}

/** Posts and comments with all that is told of them, accounts with all that they are told and did. */
async function forget(run: Steps<'forget'>, tx: Db, t: T): Promise<void> {
  const [{ ids } = { ids: [] }] = await tx.run<{ ids: string[] }>(sql`
    with said as (select id from ${rows('s', { id: 'uuid', position: 'bigint' }, run)} where ${isNew}),
    doomed as (select reply from ${t.replies} join said on parent = said.id union select id from said),
    replies as (delete from ${t.replies} r using doomed where r.reply = doomed.reply),
    noted as (
      insert into ${t.gone} (id) select reply from doomed
      on conflict (id) do nothing returning id)
    select coalesce(array_agg(id), '{}') as ids from noted`)
  const gone = sql`${sql.val(ids)}::uuid[]`
  await tx.run(sql`
    with doomed as (
      select id from ${t.notifications} where account = any(${gone}) union select id from ${t.notifications} where post = any(${gone})
      union select id from ${t.notifications} where comment = any(${gone})),
    gone as (delete from ${t.notifications} n using doomed where n.id = doomed.id returning n.id),
    seen as (delete from ${t.seen} where account = any(${gone}))
    delete from ${t.acts} a using gone where a.notification = gone.id`)
  const touched = await tx.run<{ id: string }>(sql`
    with went as (delete from ${t.acts} where actor = any(${gone}) returning notification, active)
    update ${t.notifications} n set count = n.count - w.by
    from (select notification, (count(*) filter (where active))::int as by from went group by notification) w where n.id = w.notification
    returning n.id`)
  if (touched.length === 0) return
  await tx.run(sql`
    delete from ${t.notifications} n
    where n.id = any(${touched.map(({ id }) => id)}::uuid[]) and not exists (select from ${t.acts} a where a.notification = n.id)`)
}

async function see(run: Steps<'see'>, tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    insert into ${t.seen} as v (account, position)
    select account, max("upTo") from ${rows('s', { account: 'uuid', upTo: 'bigint', position: 'bigint' }, run)}
    where ${isNew} and not exists (select from ${t.gone} g where g.id = s.account) group by account
    on conflict (account) do update set position = greatest(v.position, excluded.position)`)
}
