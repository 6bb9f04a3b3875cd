import type { Audience, WhoComments } from '../domain/posts/content.ts'
import { type AccountId, isId, type MediaId, type PostId } from '../kernel/ids.ts'
import { notFound } from '../kernel/problem.ts'
import { asOfOne } from '../kernel/projecting/kept.ts'
import type { Db } from '../kernel/sql.ts'
import { accountsModel } from '../projections/accounts/project.ts'
import { postsModel } from '../projections/posts/project.ts'
import type { PostContent } from '../projections/posts/queries.ts'
import { relationshipsModel } from '../projections/relationships/project.ts'
import { type AccountFacts, accountNamed, type RelationRow, relationRows } from '../projections/relationships/queries.ts'
import { sessionsModel } from '../projections/sessions/project.ts'
import type { Reading, ViewerId } from './context.ts'

/**
 * Who sees what: the only place that decides it, for all readers, at the time of reading. What is not there for a viewer (never was, erased,
 * of somebody who blocks them) is told by absence, never by an answer of its own.
 */

/** What the rules read. A command that takes a right away is acknowledged once all of these have it: `settled(position, ruleModels)`. */
export const ruleModels = [accountsModel, relationshipsModel, postsModel, sessionsModel] as const

/** How the viewer stands to an account. */
export type Relation = Readonly<RelationRow>

/** An account with what the rules need to know of it, and what every mention of it shows. */
export type Author = {
  readonly id: AccountId
  readonly username: string
  readonly displayName: string | null
  readonly avatarMediaId: MediaId | null
  readonly isPrivate: boolean
  readonly relation: Relation
}

/** Whether the account exists for the viewer: one that blocks them does not. Whom the viewer blocks stays known, without content. */
export const knowable = (relation: Relation): boolean => !relation.blockedBy

/** Whether the viewer may see what the account posts, and whom it follows: a private one shows it to followers alone, a block hides it both ways. */
export function maySeeContent(viewerId: ViewerId, author: Pick<Author, 'id' | 'isPrivate'>, relation: Relation): boolean {
  if (viewerId === author.id) return true
  if (relation.blocks || relation.blockedBy) return false
  return !author.isPrivate || relation.follows
}

/** Whom a post is for, in the form that the model keeps it. */
export type PostAudience = { readonly audience: Audience['kind']; readonly audienceAccountIds: readonly AccountId[] }

/** Whether the viewer may see the post: a private account narrows every audience to its followers. */
export function maySeePost(
  viewerId: ViewerId,
  post: PostAudience,
  author: Pick<Author, 'id' | 'isPrivate'>,
  relation: Relation,
): boolean {
  if (viewerId === author.id) return true
  if (!maySeeContent(viewerId, author, relation)) return false
  switch (post.audience) {
    case 'public':
      return true
    case 'followers':
      return relation.follows
    case 'close_friends':
      return relation.closeFriendOf
    case 'accounts':
      return viewerId !== null && post.audienceAccountIds.includes(viewerId)
  }
}

/** Whether the viewer may see what an account says under a post that they may see: a block hides it both ways. */
export const maySeeComment = (relation: Relation): boolean => !relation.blocks && !relation.blockedBy

/** Whether the viewer is told of what an account does to what is theirs: a block hides it both ways. */
export const mayHearOf = (relation: Relation): boolean => !relation.blocks && !relation.blockedBy

/** Whether the viewer may comment on a post that they may see. */
export const mayComment = (viewerId: ViewerId, post: Pick<SeenPost, 'authorId' | 'comments' | 'relation'>): boolean =>
  viewerId !== null &&
  (viewerId === post.authorId || post.comments === 'everyone' || (post.comments === 'followers' && post.relation.follows))

const authorWith = ({ id, username, displayName, avatarMediaId, type }: AccountFacts, relation: Relation): Author => ({
  id,
  username,
  displayName,
  avatarMediaId,
  isPrivate: type === 'private',
  relation,
})

/** How strangers stand to each other. */
export const strangers: Relation = {
  follows: false,
  followsYou: false,
  requested: false,
  blocks: false,
  blockedBy: false,
  closeFriend: false,
  closeFriendOf: false,
}

/** How an account stands to others, for what is kept of that; strangers are left out. */
export async function relationsBetween(
  db: Db,
  { one: viewerId, others: ids }: { one: AccountId; others: readonly AccountId[] },
): Promise<Map<AccountId, Relation>> {
  const relations = new Map<AccountId, { -readonly [Name in keyof Relation]: boolean }>()
  for (const { id, relation } of await relationRows(db, { viewerId, ids })) {
    const between = relations.get(id) ?? { ...strangers }
    between[relation] = true
    relations.set(id, between)
  }
  return relations
}

/** Accounts as they stand to the viewer, for what is answered as of one question. */
export function authorLooks({ kept }: Reading, viewerId: ViewerId) {
  const accounts = kept.accounts.look()
  const relations = viewerId === null ? null : kept.relations.look(viewerId)
  /** The account, which is added to those found; undefined where it does not exist, or something of it is lacking. */
  const of = (found: Map<AccountId, Author>, id: AccountId): Author | undefined => {
    const known = found.get(id)
    if (known !== undefined) return known
    const row = accounts.get(id)
    const relation = relations === null ? strangers : relations.get(id)
    if (row === undefined || relation === undefined) return undefined
    const author = authorWith(row, relation)
    found.set(id, author)
    return author
  }
  return {
    looks: relations === null ? [accounts] : [accounts, relations],
    of,
    /** Adds those of the accounts that exist and of which nothing is lacking. */
    addTo(found: Map<AccountId, Author>, ids: Iterable<AccountId>): void {
      for (const id of ids) of(found, id)
    },
  }
}

export type AuthorLooks = ReturnType<typeof authorLooks>

/** Accounts with the viewer's relation to each; those that do not exist are absent, those that block the viewer are not. */
export async function authorFacts(
  reading: Reading,
  viewerId: ViewerId,
  ids: Iterable<AccountId>,
): Promise<ReadonlyMap<AccountId, Author>> {
  const wanted = new Set(ids)
  if (wanted.size === 0) return new Map()
  const authors = authorLooks(reading, viewerId)
  return asOfOne(reading.kept.changes, reading.db, authors.looks, () => {
    const found = new Map<AccountId, Author>()
    authors.addTo(found, wanted)
    return found
  })
}

/** An id or a username, whichever the text is, in the form that the queries take. */
export const naming = (ref: string): { id: AccountId | null; username: string | null } =>
  isId(ref) ? { id: ref, username: null } : { id: null, username: ref.toLowerCase() }

/**
 * The account by its id or username.
 * @throws Problem not_found where it does not exist for the viewer
 */
export async function mustKnowAccount(reading: Reading, viewerId: ViewerId, ref: string): Promise<Author> {
  const { id, username } = naming(ref)
  const named = id ?? (await accountNamed(reading.db, { username: username! }))[0]?.id
  const author = named === undefined ? undefined : (await authorFacts(reading, viewerId, [named])).get(named)
  if (author === undefined || !knowable(author.relation)) throw notFound('account')
  return author
}

/** A post that the viewer may see: whose it is, and who may comment on it. */
export type SeenPost = {
  readonly postId: PostId
  readonly authorId: AccountId
  readonly comments: WhoComments
  readonly isPrivate: boolean
  readonly relation: Relation
}

/** @throws Problem not_found where the viewer may not see the post */
export async function mustSeePost(reading: Reading, viewerId: ViewerId, postId: PostId): Promise<SeenPost> {
  const found = await postWithAuthor(reading, viewerId, postId)
  if (found === null) throw notFound('post')
  const { post, author } = found
  if (!maySeePost(viewerId, post, author, author.relation)) throw notFound('post')
  return { postId, authorId: author.id, comments: post.comments, isPrivate: author.isPrivate, relation: author.relation }
}

/** A post, and its author as they stand to the viewer. */
export type PostWithAuthor<Post = PostContent> = { readonly post: Post; readonly author: Author }

/** Posts, for what is answered as of one question. */
export function postLooks({ kept }: Reading, viewerId: ViewerId, authors: AuthorLooks) {
  const posts = kept.posts.look()
  /**
   * The post, whoever may see it; undefined where there is none, or something of it is lacking.
   * @param accounts to which its author is added, and who else is `named` by it
   */
  const get = (id: PostId, accounts: Map<AccountId, Author>, named?: (post: PostContent) => Iterable<AccountId>) => {
    const post = posts.get(id)
    if (post === undefined) return undefined
    const author = authors.of(accounts, post.author)
    if (named !== undefined) authors.addTo(accounts, named(post))
    return author === undefined ? undefined : { post, author }
  }
  return {
    looks: [posts],
    get,
    /** The same of one that the viewer may see. */
    seen(...asked: Parameters<typeof get>): PostWithAuthor | undefined {
      const found = get(...asked)
      if (found === undefined) return undefined
      const { post, author } = found
      const audience = { audience: post.audience, audienceAccountIds: post.audience_accounts }
      return maySeePost(viewerId, audience, author, author.relation) ? found : undefined
    },
  }
}

export type PostLooks = ReturnType<typeof postLooks>

/** A post and its author as they stand to the viewer; null where there is no such post. Decides nothing. */
export async function postWithAuthor(
  reading: Reading,
  viewerId: ViewerId,
  postId: PostId,
): Promise<{ post: PostAudience & { readonly comments: WhoComments }; author: Author } | null> {
  const authors = authorLooks(reading, viewerId)
  const posts = postLooks(reading, viewerId, authors)
  const found = await asOfOne(reading.kept.changes, reading.db, [...posts.looks, ...authors.looks], () =>
    posts.get(postId, new Map()),
  )
  if (found === undefined) return null
  const { audience, audience_accounts: audienceAccountIds, comments } = found.post
  return { post: { audience, audienceAccountIds, comments }, author: found.author }
}
