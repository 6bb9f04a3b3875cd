import { AccountErased } from '../../domain/accounts/account.ts'
import { type RelationshipEvent, relationshipEvents } from '../../domain/relationships/relationship.ts'
import type { EventOf, Recorded } from '../../kernel/events.ts'
import type { AccountId } from '../../kernel/ids.ts'
import { lastOf, readModel, type Tables } from '../../kernel/projecting/model.ts'
import type { Change } from '../../kernel/projecting/notes.ts'
import { rows } from '../../kernel/rows.ts'
import { type Db, type RawBuilder, sql } from '../../kernel/sql.ts'
import { tables } from './tables.ts'

type RelationshipsEvent = RelationshipEvent | EventOf<typeof AccountErased>
type T = Tables<keyof typeof tables>

/** What an event says of one edge: that it is there, or gone. */
type Said = {
  table: 'follows' | 'requests' | 'blocks' | 'close_friends'
  one: AccountId
  other: AccountId
  there: boolean
  at: string
  position: number
}

/** Who stands where in each table of edges. */
const ends = {
  follows: [sql.id('follower'), sql.id('followee')],
  requests: [sql.id('follower'), sql.id('followee')],
  blocks: [sql.id('blocker'), sql.id('blocked')],
  close_friends: [sql.id('owner'), sql.id('friend')],
} as const satisfies Record<Said['table'], readonly RawBuilder<unknown>[]>

function saysOf(event: Recorded<RelationshipsEvent>): Said[] {
  const { at, position } = event
  const edge = (table: Said['table'], one: AccountId, other: AccountId, there: boolean): Said => ({
    table,
    one,
    other,
    there,
    at,
    position,
  })
  switch (event.type) {
    case 'FollowRequested':
      return [edge('requests', event.data.followerId, event.data.followeeId, true)]
    case 'FollowRequestEnded':
      return [edge('requests', event.data.followerId, event.data.followeeId, false)]
    case 'Followed': {
      const { followerId, followeeId } = event.data
      return [edge('follows', followerId, followeeId, true), edge('requests', followerId, followeeId, false)]
    }
    case 'Unfollowed':
      return [edge('follows', event.data.followerId, event.data.followeeId, false)]
    case 'Blocked':
      return [edge('blocks', event.data.blockerId, event.data.blockedId, true)]
    case 'Unblocked':
      return [edge('blocks', event.data.blockerId, event.data.blockedId, false)]
    case 'CloseFriendAdded':
      return [edge('close_friends', event.data.ownerId, event.data.friendId, true)]
    case 'CloseFriendRemoved':
      return [edge('close_friends', event.data.ownerId, event.data.friendId, false)]
    case 'AccountErased':
      return []
  }
}

/** Both ends of an edge may stand otherwise to each other. */
const changesOf = (event: Recorded<RelationshipsEvent>): Change[] =>
  event.type === 'AccountErased'
    ? [{ key: event.data.accountId, owner: true, position: event.position }]
    : saysOf(event).flatMap(({ one, other, position }) => [one, other].map(key => ({ key, owner: false, position })))

/** An erasure is for ever: whatever stands before or after it in the batch, the rows come to the same. */
async function erase(ids: readonly AccountId[], tx: Db, t: T): Promise<void> {
  await tx.run(sql`insert into ${t.erased} (account) select unnest(${ids}::uuid[]) on conflict do nothing`)
  for (const table of ['requests', 'blocks', 'close_friends'] as const) {
    const [one, other] = ends[table]
    await tx.run(sql`delete from ${t[table]} where ${one} = any(${ids}::uuid[]) or ${other}::text = any(${ids}::text[])`)
  }
  const gone = sql`delete from ${t.follows} where follower = any(${ids}::uuid[]) or followee::text = any(${ids}::text[]) returning follower, followee`
  await count(sql`with moved as (${gone})`, sql`select follower, followee, -1 as step from moved`, tx, t)
}

/** Moves the counts by follows that came (step 1) and went (-1). An account without any has no row. */
async function count(after: RawBuilder<unknown>, steps: RawBuilder<unknown>, tx: Db, t: T): Promise<void> {
  await tx.run(sql`
    ${after},
    steps as (${steps}),
    sums as (
      select account, sum(followers)::int as followers, sum(following)::int as following
      from (select followee as account, step as followers, 0 as following from steps union all select follower, 0, step from steps) as each
      group by account)
    merge into ${t.counts} c using sums s on c.account = s.account
    when matched and c.followers + s.followers = 0 and c.following + s.following = 0 then delete
    when matched then update set followers = c.followers + s.followers, following = c.following + s.following
    when not matched then insert (account, followers, following) values (s.account, s.followers, s.following)`)
}

/** The last word on each edge. A row that was there is a new one where it went and came again within the batch. */
async function write(table: Said['table'], edges: readonly Said[], tx: Db, t: T): Promise<void> {
  const [one, other] = ends[table]
  const writing = sql`
    with said as (
      select s.* from ${rows('s', { one: 'uuid', other: 'uuid', there: 'boolean', at: 'timestamptz', position: 'bigint' }, edges)}
      where not exists (select from ${t.erased} e where e.account in (s.one, s.other))),
    before as (select one, other from said join ${t[table]} x on x.${one} = said.one and x.${other} = said.other),
    gone as (delete from ${t[table]} x using said where x.${one} = said.one and x.${other} = said.other and not said.there returning said.one, said.other),
    come as (
      insert into ${t[table]} as x (${one}, ${other}, at, position) select one, other, at, position from said where there
      on conflict (${one}, ${other}) do update set at = excluded.at, position = excluded.position where x.position < excluded.position
      returning x.${one} as one, x.${other} as other)`
  if (table !== 'follows') await tx.run(sql`${writing} select`)
  else {
    const steps = sql`
      select one as follower, other as followee, -1 as step from gone
      union all select one, other, 1 from (select one, other from come except select one, other from before) as fresh`
    await count(writing, steps, tx, t)
  }
}

/** Who follows, asks, blocks and counts whom among their close friends. */
export const relationshipsModel = readModel<RelationshipsEvent>()({
  name: 'relationships',
  version: 3,
  events: [...relationshipEvents, AccountErased],
  tables,
  changes: changesOf,

  async project(batch, tx, t) {
    const erased = batch.flatMap(event => (event.type === 'AccountErased' ? [event.data.accountId] : []))
    if (erased.length > 0) await erase(erased, tx, t)
    const last = lastOf(batch.flatMap(saysOf), ({ table, one, other }) => `${table} ${one} ${other}`)
    for (const table of ['follows', 'requests', 'blocks', 'close_friends'] as const) {
      const edges = last.filter(edge => edge.table === table)
      if (edges.length > 0) await write(table, edges, tx, t)
    }
  },
})
