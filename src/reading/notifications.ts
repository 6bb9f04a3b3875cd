import type { NotificationId, NotificationType } from '../domain/notifications/notifications.ts'
import type { AccountId, CommentId, PostId } from '../kernel/ids.ts'
import { asOfOne } from '../kernel/projecting/kept.ts'
import { notificationsModel } from '../projections/notifications/project.ts'
import {
  actorsNamed,
  type NotificationRow,
  notificationPosition,
  notificationRows,
  notificationsById,
  unseenRows,
} from '../projections/notifications/queries.ts'
import { type AccountItem, accountItem } from './accounts.ts'
import { commentLooks, commentModels } from './comments.ts'
import type { Reading } from './context.ts'
import { fillPage, isAll, listOf, type PageOf } from './page.ts'
import { picturesFor } from './pictures.ts'
import { isWhole, postModels, thumbnailUrl } from './posts.ts'
import { type Author, authorLooks, mayHearOf, postLooks } from './rules.ts'

/** What notifications are made of. */
export const notificationModels = [notificationsModel, ...postModels, ...commentModels] as const

export type NotificationView = {
  readonly id: NotificationId
  readonly type: NotificationType
  /** When the last act that was told happened. */
  readonly at: string
  /** The newest first, three at most. */
  readonly actors: readonly AccountItem[]
  readonly count: number
  readonly post: { readonly id: PostId; readonly thumbnailUrl: string } | null
  readonly comment: { readonly id: CommentId; readonly text: string } | null
  readonly seen: boolean
}

/** A page of the account's notifications, by the last act of each. */
export const notificationsPage = (
  reading: Reading,
  accountId: AccountId,
  page: { limit: number; after: number | null },
): Promise<PageOf<NotificationView>> =>
  fillPage({
    ...page,
    fetch: listOf<NotificationRow>({ db: reading.db, kept: reading.kept.notificationsOf, of: accountId }, (after, n) =>
      notificationRows(reading.db, { accountId, after: after ?? Number.MAX_SAFE_INTEGER, n }),
    ),
    hydrate: rows => hydrate(reading, accountId, rows),
  })

/**
 * The account's notifications by id, absent where nothing of them may be seen. `first` and `position` are those of the events that made it and that
 * told of it last: an event at `first` is news of a new one, one after that up to `position` changed it, a later one told nothing anew.
 */
export async function notificationViews(
  reading: Reading,
  accountId: AccountId,
  ids: readonly NotificationId[],
): Promise<Map<NotificationId, { view: NotificationView; first: number; position: number }>> {
  const rows = await notificationsById(reading.db, { accountId, ids })
  const views = await hydrate(reading, accountId, rows)
  return new Map(
    rows.flatMap(({ id, first, position }) => {
      const view = views.get(id)
      return view === undefined ? [] : [[id, { view, first, position }] as const]
    }),
  )
}

/** So many unseen ones are counted at most. */
export const mostUnseen = 100

/** How many the account would see and has not seen, up to 100. */
export async function unseenCount(reading: Reading, accountId: AccountId): Promise<number> {
  const { items } = await fillPage({
    limit: mostUnseen,
    after: null,
    fetch: async (after, n) => {
      if (after === null) {
        const newest = (await reading.kept.notificationsOf.row(reading.db, accountId))!
        if (isAll(newest) || newest.keys.at(-1)!.seen) return newest.keys.filter(({ seen }) => !seen)
      }
      return unseenRows(reading.db, { accountId, after: after ?? Number.MAX_SAFE_INTEGER, n })
    },
    hydrate: rows => hydrate(reading, accountId, rows),
  })
  return items.length
}

/** The position up to which all is seen with one notification, or with the newest; null where there is none. */
export async function seenPosition({ db }: Reading, accountId: AccountId, id: NotificationId | null): Promise<number | null> {
  const [row] = await notificationPosition(db, { accountId, id })
  return row?.position ?? null
}

/** Left out where the rules leave no actor, or not what it is about. */
async function hydrate(
  reading: Reading,
  accountId: AccountId,
  rows: readonly NotificationRow[],
): Promise<Map<NotificationId, NotificationView>> {
  if (rows.length === 0) return new Map()
  const { db, kept } = reading
  const authors = authorLooks(reading, accountId)
  const posts = postLooks(reading, accountId, authors)
  const comments = commentLooks(reading, posts, authors)
  const commentIds = new Set(rows.flatMap(({ comment }) => comment ?? []))
  const told = await asOfOne(kept.changes, db, [...authors.looks, ...posts.looks, ...comments.looks], () => {
    const accounts = new Map<AccountId, Author>()
    const texts = new Map(comments.seen(commentIds, accounts).map(({ id, text }) => [id, text]))
    return rows.flatMap(row => {
      const actors: Author[] = []
      for (const id of row.actors) {
        if (actors.length === actorsNamed) break
        const actor = authors.of(accounts, id)
        if (actor !== undefined && mayHearOf(actor.relation)) actors.push(actor)
      }
      const post = row.post === null ? null : posts.seen(row.post, accounts)?.post
      const text = row.comment === null ? null : texts.get(row.comment)
      return actors.length === 0 || post === undefined || (post !== null && !isWhole(post)) || text === undefined
        ? []
        : { row, actors, post, text }
    })
  })
  const pictures = picturesFor(
    reading,
    accountId,
    told.flatMap(({ post }) => post?.author ?? []),
  )
  return new Map(
    told.map(({ row: { id, type, at, count, seen, comment }, actors, post, text }) => [
      id,
      {
        id,
        type,
        at,
        actors: actors.map(actor => accountItem(reading, actor)),
        count,
        post: post && { id: post.id, thumbnailUrl: thumbnailUrl(pictures, post) },
        comment: comment && text !== null ? { id: comment, text } : null,
        seen,
      },
    ]),
  )
}
