import type { Reading, ViewerId } from './context.ts'

/** How a post or a comment stands: its likes, the comments or replies below it, and whether the viewer likes it. */
export type Standing = { readonly likes: number; readonly below: number; readonly liked: boolean }

/** The standing of each of these posts and comments; all 0 of one that does not exist. Asks no rules. */
export async function standingsOf(
  { db, kept }: Reading,
  viewerId: ViewerId,
  ids: readonly string[],
): Promise<(id: string) => Standing> {
  const [likes, below, liked] = await Promise.all([
    kept.likes.rows(db, ids),
    kept.below.rows(db, ids),
    viewerId === null ? null : kept.liked.of(db, viewerId, ids),
  ])
  return id => {
    const isLiked = liked?.get(id) ?? false
    // The viewer's own may have come between the two questions.
    return { likes: Math.max(likes.get(id)?.likes ?? 0, Number(isLiked)), below: below.get(id)?.below ?? 0, liked: isLiked }
  }
}
