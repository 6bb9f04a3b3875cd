import type { AccountType } from '../domain/accounts/account.ts'
import type { AccountId } from '../kernel/ids.ts'
import { notFound } from '../kernel/problem.ts'
import { accountsModel } from '../projections/accounts/project.ts'
import { postsModel } from '../projections/posts/project.ts'
import { relationshipsModel } from '../projections/relationships/project.ts'
import { type ProfileRow, profileRow, profileRows } from '../projections/relationships/queries.ts'
import type { Reading, ViewerId } from './context.ts'
import { avatarUrl } from './pictures.ts'
import { type Author, authorFacts, knowable, naming, type Relation } from './rules.ts'

/** What account items are made of. */
export const accountModels = [accountsModel, relationshipsModel] as const
/** What whole profiles are made of. */
export const profileModels = [...accountModels, postsModel] as const

/** How the viewer stands to an account, as they are told. */
export type AccountViewer = Pick<Relation, 'follows' | 'followsYou' | 'requested' | 'blocks' | 'closeFriend'>

/** An account as it stands in lists, and as the author of things. */
export type AccountItem = {
  readonly id: AccountId
  readonly username: string
  readonly displayName: string | null
  readonly avatarUrl: string | null
  readonly viewer: AccountViewer
}

export type AccountCounts = { readonly posts: number; readonly followers: number; readonly following: number }

/** A profile as anybody sees it who may know the account. */
export type AccountView = {
  readonly id: AccountId
  readonly username: string
  readonly displayName: string | null
  readonly bio: string | null
  readonly website: string | null
  readonly avatarUrl: string | null
  readonly type: AccountType
  readonly isPrivate: boolean
  readonly counts: AccountCounts
  readonly viewer: AccountViewer
}

/** What a relation shows to the viewer: not who counts them among their close friends. */
export const viewerOf = ({ follows, followsYou, requested, blocks, closeFriend }: AccountViewer): AccountViewer => ({
  follows,
  followsYou,
  requested,
  blocks,
  closeFriend,
})

/** The item of an account whose facts are known already; not for one that blocks the viewer. */
export const accountItem = (reading: Reading, { id, username, displayName, avatarMediaId, relation }: Author): AccountItem => ({
  id,
  username,
  displayName,
  avatarUrl: avatarUrl(reading, avatarMediaId),
  viewer: viewerOf(relation),
})

/** Items by id; accounts that do not exist for the viewer are absent. */
export async function accountItems(
  reading: Reading,
  viewerId: ViewerId,
  ids: Iterable<AccountId>,
): Promise<Map<AccountId, AccountItem>> {
  const known = [...(await authorFacts(reading, viewerId, ids)).values()].filter(({ relation }) => knowable(relation))
  return new Map(known.map(author => [author.id, accountItem(reading, author)]))
}

const profileOf = (reading: Reading, row: ProfileRow): AccountView => ({
  id: row.id,
  username: row.username,
  displayName: row.displayName,
  bio: row.bio,
  website: row.website,
  avatarUrl: avatarUrl(reading, row.avatarMediaId),
  type: row.type,
  isPrivate: row.type === 'private',
  counts: { posts: row.posts, followers: row.followers, following: row.following },
  viewer: viewerOf(row),
})

/** Profiles with the revision of each, by id; accounts that do not exist for the viewer are absent. */
export async function accountViews(
  reading: Reading,
  viewerId: ViewerId,
  ids: Iterable<AccountId>,
): Promise<Map<AccountId, { view: AccountView; revision: number }>> {
  const rows = await profileRows(reading.db, { viewerId, ids: [...new Set(ids)] })
  return new Map(rows.filter(knowable).map(row => [row.id, { view: profileOf(reading, row), revision: row.revision }]))
}

/**
 * The profile of an id or username, with its revision for the ETag.
 * @throws Problem not_found where the account does not exist for the viewer
 */
export async function accountView(
  reading: Reading,
  viewerId: ViewerId,
  ref: string,
): Promise<{ view: AccountView; revision: number }> {
  const [row] = await profileRow(reading.db, { viewerId, ...naming(ref) })
  if (row === undefined || !knowable(row)) throw notFound('account')
  return { view: profileOf(reading, row), revision: row.revision }
}
