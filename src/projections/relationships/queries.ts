import type { AccountType } from '../../domain/accounts/account.ts'
import type { AccountId, MediaId } from '../../kernel/ids.ts'
import { found, grouped, query, type RawBuilder, sql } from '../../kernel/sql.ts'
import { accountsModel } from '../accounts/project.ts'
import { postsModel } from '../posts/project.ts'
import { relationshipsModel } from './project.ts'

const { accounts } = accountsModel.t
const { counts: postCounts } = postsModel.t
const { follows, requests, blocks, close_friends: closeFriends, counts } = relationshipsModel.t

/** How a viewer stands to an account; all false where nobody is signed in. */
export type RelationRow = {
  follows: boolean
  followsYou: boolean
  requested: boolean
  blocks: boolean
  blockedBy: boolean
  /** The viewer counts them among their close friends. */
  closeFriend: boolean
  /** They count the viewer among theirs. */
  closeFriendOf: boolean
}

type Viewer = { viewerId: AccountId | null }

const relation = ({ viewerId }: { readonly viewerId: RawBuilder<AccountId | null> }, account: RawBuilder<unknown>) => {
  const me = sql`${viewerId}::uuid`
  return sql`
    ${found(sql`from ${follows} where follower = ${me} and followee = ${account}`)} as follows,
    ${found(sql`from ${follows} where follower = ${account} and followee = ${me}`)} as "followsYou",
    ${found(sql`from ${requests} where follower = ${me} and followee = ${account}`)} as requested,
    ${found(sql`from ${blocks} where blocker = ${me} and blocked = ${account}`)} as blocks,
    ${found(sql`from ${blocks} where blocker = ${account} and blocked = ${me}`)} as "blockedBy",
    ${found(sql`from ${closeFriends} where owner = ${me} and friend = ${account}`)} as "closeFriend",
    ${found(sql`from ${closeFriends} where owner = ${account} and friend = ${me}`)} as "closeFriendOf"`
}

const author = sql`a.id, a.username, a.display_name as "displayName", a.avatar_media_id as "avatarMediaId", a.type`

export type AuthorRow = RelationRow & {
  id: AccountId
  username: string
  displayName: string | null
  avatarMediaId: MediaId | null
  type: AccountType
}

/** An account is named by its id or its username; the other is null. */
type Named = { id: AccountId | null; username: string | null }

const oneTypes = { viewerId: 'uuid', id: 'uuid', username: 'text' } as const
const severalTypes = { viewerId: 'uuid', ids: 'uuid[]' } as const

/** By the primary key either way, so that Postgres keeps one plan (with `or` it would plan each time anew). */
const isNamed = (p: { readonly [Name in keyof Named]: RawBuilder<Named[Name]> }) =>
  sql`a.id = coalesce(${p.id}::uuid, (select id from ${accounts} where username = ${p.username}))`

const areNamed = ({ ids }: { readonly ids: RawBuilder<readonly AccountId[]> }) => sql`a.id = any(${ids}::uuid[])`

export type AccountFacts = Omit<AuthorRow, keyof RelationRow>

/** Accounts by their ids. */
export const accountFacts = grouped<{ ids: readonly AccountId[] }, AccountFacts>(
  { ids: 'uuid[]' },
  p => sql`select ${author} from ${accounts} a where ${areNamed(p)}`,
)

/** Who goes by a username. */
export const accountNamed = grouped<{ username: string }, { id: AccountId }>(
  { username: 'text' },
  p => sql`select id from ${accounts} where username = ${p.username}`,
)

/** In what the viewer stands to accounts, a row each; none where nothing is between the two. One scan an index for all ids, not a look-up for each. */
export const relationRows = grouped<
  { viewerId: AccountId; ids: readonly AccountId[] },
  { id: AccountId; relation: keyof RelationRow }
>(severalTypes, p => {
  const among = (relation: keyof RelationRow, table: RawBuilder<unknown>, mine: string, other: string) => sql`
    select ${sql.id(other)} as id, ${sql.lit(relation)} as relation from ${table}
    where ${sql.id(mine)} = ${p.viewerId} and ${sql.id(other)} = any(${p.ids})`
  return sql.join(
    [
      among('follows', follows, 'follower', 'followee'),
      among('followsYou', follows, 'followee', 'follower'),
      among('requested', requests, 'follower', 'followee'),
      among('blocks', blocks, 'blocker', 'blocked'),
      among('blockedBy', blocks, 'blocked', 'blocker'),
      among('closeFriend', closeFriends, 'owner', 'friend'),
      among('closeFriendOf', closeFriends, 'friend', 'owner'),
    ],
    sql` union all `,
  )
})

export type ProfileRow = AuthorRow & {
  bio: string | null
  website: string | null
  revision: number
  posts: number
  followers: number
  following: number
}

const profilesWhere = (p: { readonly viewerId: RawBuilder<AccountId | null> }, condition: RawBuilder<unknown>) => sql`
  select ${author}, a.bio, a.website, a.revision, coalesce(p.posts, 0) as posts, coalesce(c.followers, 0) as followers,
    coalesce(c.following, 0) as following, ${relation(p, sql`a.id`)}
  from ${accounts} a left join ${counts} c on c.account = a.id left join ${postCounts} p on p.author = a.id
  where ${condition}`

/** A whole profile with its counts. */
export const profileRow = grouped<Viewer & Named, ProfileRow>(oneTypes, p => profilesWhere(p, isNamed(p)))
/** Several, by their ids. */
export const profileRows = grouped<Viewer & { ids: readonly AccountId[] }, ProfileRow>(severalTypes, p =>
  profilesWhere(p, areNamed(p)),
)

/** One row of a list of accounts: who, and the position of the event that put them there. */
export type EdgeRow = { id: AccountId; position: number }

type Page = { account: AccountId; after: number; n: number }

const edges = (table: RawBuilder<unknown>, of: string, who: string) =>
  query<Page, EdgeRow>(
    p => sql`
      select ${sql.id(who)} as id, position from ${table}
      where ${sql.id(of)}::text = ${p.account}::uuid::text and position < ${p.after}::bigint order by position desc limit ${p.n}`,
  )

/** Lists of accounts, newest first, behind a position. */
export const followerEdges = edges(follows, 'followee', 'follower')
export const followingEdges = edges(follows, 'follower', 'followee')
export const requestEdges = edges(requests, 'followee', 'follower')
export const blockEdges = edges(blocks, 'blocker', 'blocked')
export const closeFriendEdges = edges(closeFriends, 'owner', 'friend')

/** The account's followers whom the viewer follows. */
export const mutualEdges = query<Page & Viewer, EdgeRow>(
  p => sql`
    select f.follower as id, f.position from ${follows} f join ${follows} mine on mine.follower = ${p.viewerId}::uuid and mine.followee = f.follower
    where f.followee::text = ${p.account}::uuid::text and f.position < ${p.after}::bigint order by f.position desc limit ${p.n}`,
)

/** How many viewers stand to one author, as far as seeing the author's posts goes. */
export const watcherRows = query<
  { authorId: AccountId; viewerIds: readonly AccountId[] },
  { viewerId: AccountId } & Pick<RelationRow, 'follows' | 'blocks' | 'blockedBy' | 'closeFriendOf'>
>(
  p => sql`
    select v.id as "viewerId",
      exists (select from ${follows} where follower = v.id and followee = ${p.authorId}::uuid) as follows,
      exists (select from ${blocks} where blocker = v.id and blocked = ${p.authorId}::uuid) as blocks,
      exists (select from ${blocks} where blocker = ${p.authorId}::uuid and blocked = v.id) as "blockedBy",
      exists (select from ${closeFriends} where owner = ${p.authorId}::uuid and friend = v.id) as "closeFriendOf"
    from unnest(${p.viewerIds}::uuid[]) as v(id) join ${accounts} a on a.id = v.id`,
)

/** The authors that an account follows. */
export const followeesOf = query<{ accountId: AccountId }, { id: AccountId }>(
  p => sql`select followee as id from ${follows} where follower::text = ${p.accountId}::uuid::text`,
)
