import { eachOnce } from '../kernel/projecting/kept.ts'
import type { Reading, ViewerId } from './context.ts'

/** How a post or a comment stands: its likes, the comments or replies below it, and whether the viewer likes it. */
export type Standing = { readonly likes: number; readonly below: number; readonly liked: boolean }

/** The standing of each of these posts and comments; all 0 of one that does not exist. Asks no rules. */
export async function standingsOf(
  { db, kept }: Reading,
  viewerId: ViewerId,
  ids: Iterable<string>,
): Promise<(id: string) => Standing> {
  const likes = kept.likes.look()
  const below = kept.below.look()
  const liked = viewerId === null ? null : kept.liked.look(viewerId)
  const found = new Map<string, Partial<Standing>>()
  await eachOnce(kept.changes, db, liked === null ? [likes, below] : [likes, below, liked], () => {
    for (const id of ids) {
      const before = found.get(id)
      found.set(id, {
        likes: before?.likes ?? likes.get(id)?.likes,
        below: before?.below ?? below.get(id)?.below,
        liked: before?.liked ?? liked?.get(id),
      })
    }
  })
  return id => {
    const { likes = 0, below = 0, liked = false } = found.get(id) ?? {}
    // The viewer's own may have come between the two questions.
    return { likes: Math.max(likes, Number(liked)), below, liked }
  }
}
