import type { Audience } from '../domain/posts/content.ts'
import { type AccountId, isId, type PostId } from '../kernel/ids.ts'
import { Journal, type JournalRow } from '../kernel/live/journal.ts'
import type { ReadModel } from '../kernel/projecting/model.ts'
import { commentsModel } from '../projections/comments/project.ts'
import { likesModel } from '../projections/likes/project.ts'
import { liveModel } from '../projections/live/project.ts'
import { topicCounts } from '../projections/live/queries.ts'
import { relationshipsModel } from '../projections/relationships/project.ts'
import { followeesOf, watcherRows } from '../projections/relationships/queries.ts'
import type { Reading } from './context.ts'
import { feedModels } from './feed.ts'
import { notificationModels, notificationViews } from './notifications.ts'
import { postModels, postViews } from './posts.ts'
import { authorFacts, maySeePost, postWithAuthor, ruleModels } from './rules.ts'

/** The journal of what happened, as the projection writes it. */
export const liveJournal = ({ db }: Reading): Journal => new Journal(db, liveModel.t)

/** What a row of the journal is told from: it is told when these have reached it. */
export const liveModels = (type: string): readonly ReadModel[] => {
  switch (type) {
    // Whoever is told of a feed finds it so.
    case 'feed.post':
      return feedModels
    case 'feed.removed':
      return [...ruleModels, ...feedModels]
    case 'post.updated':
      return postModels
    case 'notification':
      return notificationModels
    default:
      return ruleModels
  }
}

type Told = { type: string; data: unknown } | null

/** Rows of the journal, of one type, as a viewer may have them now; null for each that tells them nothing. */
export async function liveMessages(reading: Reading, viewerId: AccountId, rows: readonly JournalRow[]): Promise<Told[]> {
  switch (rows[0]?.type) {
    case 'feed.post': {
      const posts = await postViews(reading, viewerId, rows.map(postOf))
      return rows.map(row => {
        const post = posts.get(postOf(row))
        return post === undefined ? null : { type: 'feed.post', data: { post } }
      })
    }
    case 'post.updated': {
      const posts = await postViews(reading, viewerId, rows.map(postOf))
      return Promise.all(
        rows.map(row => {
          const post = posts.get(postOf(row))
          // Who could see it before the edit is told that it is gone; who never could learns nothing.
          return post === undefined
            ? removal(reading, viewerId, row, row.ids.previousAudience)
            : { type: 'post.updated', data: { post } }
        }),
      )
    }
    case 'post.removed':
      return Promise.all(rows.map(row => removal(reading, viewerId, row, row.ids.audience)))
    case 'feed.removed':
      return rows.map(({ ids: { accountId } }) => (accountId === viewerId ? null : { type: 'feed.removed', data: { accountId } }))
    case 'notification': {
      const idOf = ({ ids }: JournalRow): string => String(ids.notificationId)
      const views = await notificationViews(reading, viewerId, [...new Set(rows.map(idOf))])
      return rows.map(row => {
        const told = views.get(idOf(row))
        if (told === undefined) return null
        const { view, first, position } = told
        if (first === row.position) return { type: 'notification.created', data: { notification: view } }
        // Otherwise a later row tells it, or the act was told before.
        return position === row.position ? { type: 'notification.updated', data: { notification: view } } : null
      })
    }
    default:
      return rows.map(() => null)
  }
}

const postOf = ({ ids }: JournalRow): PostId => String(ids.postId)

async function removal(reading: Reading, viewerId: AccountId, { ids }: JournalRow, before: unknown): Promise<Told> {
  const { postId, authorId } = ids as { postId: PostId; authorId: AccountId }
  const audience = before as Audience | null
  const author = (await authorFacts(reading, viewerId, [authorId])).get(authorId)
  if (audience === null || author === undefined) return null
  const was = { audience: audience.kind, audienceAccountIds: audience.kind === 'accounts' ? audience.accountIds : [] }
  return maySeePost(viewerId, was, author, author.relation) ? { type: 'post.removed', data: { postId } } : null
}

/** What `followees` reads. */
export const followeeModels: readonly ReadModel[] = [relationshipsModel]

/** The accounts whose followers the account is one of. */
export const followees = async ({ db }: Reading, accountId: AccountId): Promise<AccountId[]> =>
  (await followeesOf(db, { accountId })).map(({ id }) => id)

/** What `post.counts` is told from. */
export const topicModels: readonly ReadModel[] = [likesModel, commentsModel]

/** The state of `post:<id>` and who of the viewers may see the post now; null where there is no such post. */
export async function topicState(
  reading: Reading,
  topic: string,
  viewerIds: readonly AccountId[],
): Promise<{ type: string; data: unknown; allowed: ReadonlySet<string> } | null> {
  const postId = topic.startsWith('post:') ? topic.slice('post:'.length) : ''
  if (!isId(postId)) return null
  const found = await postWithAuthor(reading, null, postId)
  if (found === null) return null
  const { post, author } = found
  const [watchers, [counts]] = await Promise.all([
    watcherRows(reading.db, { authorId: author.id, viewerIds }),
    topicCounts(reading.db, { postId }),
  ])
  const unasked = { followsYou: false, requested: false, closeFriend: false }
  const allowed = watchers.filter(({ viewerId, ...relation }) => maySeePost(viewerId, post, author, { ...unasked, ...relation }))
  return { type: 'post.counts', data: { postId, ...counts }, allowed: new Set(allowed.map(({ viewerId }) => viewerId)) }
}
