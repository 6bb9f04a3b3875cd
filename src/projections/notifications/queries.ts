import type { NotificationId, NotificationType } from '../../domain/notifications/notifications.ts'
import type { AccountId, CommentId, PostId } from '../../kernel/ids.ts'
import { grouped, query, type RawBuilder, sql } from '../../kernel/sql.ts'
import { relationshipsModel } from '../relationships/project.ts'
import { notificationsModel } from './project.ts'

const { acts, notifications, seen } = notificationsModel.t
const { blocks } = relationshipsModel.t

export type NotificationRow = {
  id: NotificationId
  type: NotificationType
  post: PostId | null
  comment: CommentId | null
  /** Of the first act, and of the last one that was told. */
  first: number
  position: number
  at: string
  seen: boolean
  /** How many acted, without those who stand in a block with the account. */
  count: number
  /** The newest of those who acted, as many as surely hold three outside of any block. */
  actors: AccountId[]
}

/** How many actors a notification names. */
export const actorsNamed = 3

/** Of the account, not of a row: so that it is looked up once. */
const seenUpTo = (accountId: RawBuilder<AccountId>) =>
  sql`coalesce((select position from ${seen} s where s.account = ${accountId}::uuid), 0)`

/** Without those who stand in a block with the account: its blocks are few and looked up once, the acts of a notification may be many. */
const notification = (accountId: RawBuilder<AccountId>) => sql`
  n.id, n.type, n.post, n.comment, n.first, n.position, n.at,
  n.position <= ${seenUpTo(accountId)} as seen,
  n.count - blocked.count as count,
  array(
    select a.actor from ${acts} a where a.notification = n.id and a.active
    order by a.position desc limit ${sql.lit(actorsNamed)} + blocked.count) as actors
  from (
    select array(
      select blocked from ${blocks} where blocker::text = ${accountId}::uuid::text union all select blocker from ${blocks} where blocked::text = ${accountId}::uuid::text
    ) as ids offset 0) apart
  cross join ${notifications} n
  cross join lateral (
    select count(*)::int as count from unnest(apart.ids) b (id) cross join lateral (
      select from ${acts} a where a.notification = n.id and a.actor = b.id and a.active offset 0) act) blocked`

type Account = { accountId: AccountId }

const page = (p: {
  readonly accountId: RawBuilder<AccountId>
  readonly after: RawBuilder<number>
  readonly n: RawBuilder<number>
}) => sql`n.count > 0 and n.account = ${p.accountId}::uuid and n.position < ${p.after}::bigint`

/** An account's notifications behind a position, newest first. */
export const notificationRows = grouped<Account & { after: number; n: number }, NotificationRow>(
  { accountId: 'uuid', after: 'bigint', n: 'limit' },
  p => sql`select ${notification(p.accountId)} where ${page(p)} order by n.position desc limit ${p.n}`,
)

/** Those that it has not seen. */
export const unseenRows = query<Account & { after: number; n: number }, NotificationRow>(
  p => sql`
    select ${notification(p.accountId)} where ${page(p)} and n.position > ${seenUpTo(p.accountId)}
    order by n.position desc limit ${p.n}`,
)

/** An account's notifications by id, in no order. */
export const notificationsById = grouped<Account & { ids: readonly NotificationId[] }, NotificationRow>(
  { accountId: 'uuid', ids: 'uuid[]' },
  p => sql`select ${notification(p.accountId)} where n.count > 0 and n.account = ${p.accountId}::uuid and n.id = any(${p.ids})`,
)

/** The position of one of an account's notifications or, where none is named, of its newest. */
export const notificationPosition = query<Account & { id: NotificationId | null }, { position: number | null }>(
  p => sql`
    select max(position) as position from ${notifications} n
    where n.account = ${p.accountId}::uuid and (${p.id}::uuid is null or n.id = ${p.id}::uuid)`,
)
