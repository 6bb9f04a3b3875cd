import type { AccountId } from '../kernel/ids.ts'
import { notFound } from '../kernel/problem.ts'
import {
  blockEdges,
  closeFriendEdges,
  followerEdges,
  followingEdges,
  mutualEdges,
  profileRow,
  requestEdges,
} from '../projections/relationships/queries.ts'
import { type AccountCounts, type AccountItem, type AccountViewer, accountItems } from './accounts.ts'
import type { Reading, ViewerId } from './context.ts'
import { fillPage, type PageOf } from './page.ts'
import { authorFacts, maySeeContent, mustKnowAccount } from './rules.ts'

export type Page = { readonly limit: number; readonly after: number | null }

const edges = {
  followers: followerEdges,
  following: followingEdges,
  mutuals: mutualEdges,
  requests: requestEdges,
  blocks: blockEdges,
  closeFriends: closeFriendEdges,
} as const

const beginning = Number.MAX_SAFE_INTEGER

function accountsIn(
  reading: Reading,
  viewerId: ViewerId,
  list: keyof typeof edges,
  account: AccountId,
  page: Page,
): Promise<PageOf<AccountItem>> {
  return fillPage({
    ...page,
    fetch: (after, n) => edges[list](reading.db, { account, viewerId, after: after ?? beginning, n }),
    hydrate: keys =>
      accountItems(
        reading,
        viewerId,
        keys.map(({ id }) => id),
      ),
  })
}

/**
 * An account's followers, those it follows, or its followers whom the viewer follows, newest first; empty where the viewer may not see its content.
 * @throws Problem not_found where it does not exist for the viewer
 */
export async function accountsOf(
  reading: Reading,
  viewerId: ViewerId,
  list: 'followers' | 'following' | 'mutuals',
  ref: string,
  page: Page,
): Promise<PageOf<AccountItem>> {
  const account = await mustKnowAccount(reading, viewerId, ref)
  if (!maySeeContent(viewerId, account, account.relation)) return { items: [], next: null }
  return accountsIn(reading, viewerId, list, account.id, page)
}

/** The viewer's own lists, newest first: who asks to follow them, whom they block, their close friends. */
export const ownAccounts = (
  reading: Reading,
  viewerId: AccountId,
  list: 'requests' | 'blocks' | 'closeFriends',
  page: Page,
): Promise<PageOf<AccountItem>> => accountsIn(reading, viewerId, list, viewerId, page)

/**
 * An account's counts after a decision between it and the viewer: the model's, moved by what it does not know of that decision yet.
 * @throws Problem not_found for an account that is gone
 */
export async function countsAfter(
  { db }: Reading,
  viewerId: AccountId,
  id: AccountId,
  decided: AccountViewer,
): Promise<AccountCounts> {
  const [row] = await profileRow(db, { viewerId, id, username: null })
  if (row === undefined) throw notFound('account')
  return {
    posts: row.posts,
    followers: row.followers + Number(decided.follows) - Number(row.follows),
    following: row.following + Number(decided.followsYou) - Number(row.followsYou),
  }
}

/** Those who ask to follow an account, unless it is private (or gone): then they have to wait for its answer. A page of ids, newest first. */
export async function needlessRequests(
  reading: Reading,
  accountId: AccountId,
  { limit, after }: Page,
): Promise<PageOf<AccountId>> {
  const account = (await authorFacts(reading, null, [accountId])).get(accountId)
  if (account === undefined || account.isPrivate) return { items: [], next: null }
  const rows = await requestEdges(reading.db, { account: accountId, after: after ?? beginning, n: limit })
  return { items: rows.map(({ id }) => id), next: rows.length < limit ? null : rows.at(-1)!.position }
}
