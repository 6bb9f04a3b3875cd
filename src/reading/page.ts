import type { Kept } from '../kernel/projecting/kept.ts'
import type { Database, Db } from '../kernel/sql.ts'

/** One row of a list's skeleton: what it is about, and where it stands. */
export type Key = { readonly id: string; readonly position: number }

/** The beginning of a list, by the id of what it belongs to: as many rows as a page of 20 takes, and one that tells whether more come. */
export type Beginning<K extends Key> = { readonly id: string; readonly keys: readonly K[] }
const longest = 21

/** Loads beginnings to be kept. @param fetch the first `n` rows of a list */
export const beginnings =
  <K extends Key>(fetch: (db: Db, of: string, n: number) => Promise<readonly K[]>) =>
  (db: Db, { ids }: { readonly ids: readonly string[] }): Promise<Beginning<K>[]> =>
    Promise.all(ids.map(async id => ({ id, keys: await fetch(db, id, longest) })))

/** Whether a list has no more than its beginning. */
export const isAll = ({ keys }: Beginning<Key>): boolean => keys.length < longest

/** Rows of a list for `fillPage`, from its beginning where that is kept. */
export const listOf =
  <K extends Key>(
    { db, kept, of }: { readonly db: Database; readonly kept: Kept<Beginning<K>>; readonly of: string },
    fetch: (after: number | null, n: number) => Promise<readonly K[]>,
  ) =>
  async (after: number | null, n: number): Promise<readonly K[]> => {
    if (after !== null || n > longest) return fetch(after, n)
    return (await kept.row(db, of))!.keys.slice(0, n)
  }

export type PageOf<Item> = {
  readonly items: readonly Item[]
  /** The position behind which the next page starts; null where nothing more is to be seen. */
  readonly next: number | null
}

/** So many rows at most are looked through for one page; where nearly all are hidden a page may be short, with a `next`. */
const mostRows = 2_000
const mostAtOnce = 200

/**
 * A page of what the viewer may see: skeleton rows, hydrated under the rules; what these empty is filled again. Whether there is a next page is told
 * by one more item that may be seen, never by a hidden one.
 * @param fetch up to `n` rows behind the position (null: from the beginning), in the list's order
 * @param hydrate items by the rows' ids; hidden ones are absent
 */
export async function fillPage<K extends Key, Item>({
  limit,
  after,
  fetch,
  hydrate,
}: {
  limit: number
  after: number | null
  fetch(after: number | null, n: number): Promise<readonly K[]>
  hydrate(keys: readonly K[]): Promise<ReadonlyMap<string, Item>>
}): Promise<PageOf<Item>> {
  const items: Item[] = []
  let end = after
  let behind = after
  let looked = 0
  for (let n = limit + 1; ; n = Math.min(2 * n, mostAtOnce)) {
    const keys = await fetch(behind, n)
    const found = keys.length > 0 ? await hydrate(keys) : new Map<string, Item>()
    for (const { id, position } of keys) {
      behind = position
      const item = found.get(id)
      if (item === undefined) continue
      if (items.length === limit) return { items, next: end }
      items.push(item)
      end = position
    }
    if (keys.length < n) return { items, next: null }
    looked += n
    if (looked >= mostRows) return { items, next: items.length === limit ? end : behind }
  }
}
