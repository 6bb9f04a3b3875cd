import type { AccountId } from '../kernel/ids.ts'
import { feedModel } from '../projections/feed/project.ts'
import { fanOutRow, feedRows } from '../projections/feed/queries.ts'
import type { Reading } from './context.ts'
import { fillPage, type PageOf } from './page.ts'
import { type PostView, postModels, postViews } from './posts.ts'

/** What the home feed is made of. */
export const feedModels = [feedModel, ...postModels] as const

/** What stands in a feed; other kinds may come. */
export type FeedItem = { readonly kind: 'post' } & PostView

/** The viewer's own posts and those of the accounts that they follow, newest first; what may be seen of them. */
export async function feedPage(
  reading: Reading,
  viewerId: AccountId,
  page: { limit: number; after: number | null },
): Promise<PageOf<FeedItem>> {
  const { items, next } = await fillPage({
    ...page,
    fetch: (after, n) => feedRows(reading.db, { viewerId, after: after ?? Number.MAX_SAFE_INTEGER, n }),
    hydrate: rows =>
      postViews(
        reading,
        viewerId,
        rows.map(({ id }) => id),
      ),
  })
  return { items: items.map(post => ({ kind: 'post', ...post })), next }
}

/** How many followers the author has, and whether posts are not fanned out to them, as far as the models are. */
export async function fanOutOf({ db }: Reading, authorId: AccountId): Promise<{ followers: number; stopped: boolean }> {
  const [row] = await fanOutRow(db, { authorId })
  return row!
}
