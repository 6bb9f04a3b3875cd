import { apart } from '../kernel/projecting/kept.ts'
import type { Reading, ViewerId } from './context.ts'

/** How a post or a comment stands: its likes, the comments or replies below it, and whether the viewer likes it. */
export type Standing = { readonly likes: number; readonly below: number; readonly liked: boolean }

/** The standings of posts and comments, for what is answered as of one question: all 0 of one that does not exist. Asks no rules. */
export function standingLooks({ kept }: Reading, viewerId: ViewerId) {
  const likes = kept.likes.look(apart)
  const below = kept.below.look(apart)
  const liked = viewerId === null ? null : kept.liked.look(viewerId, apart)
  return {
    looks: liked === null ? [likes, below] : [likes, below, liked],
    of(ids: Iterable<string>): ReadonlyMap<string, Standing> {
      const standings = new Map<string, Standing>()
      for (const id of ids) {
        const isLiked = liked?.get(id) ?? false
        // The viewer's own may have come between the two questions.
        const count = Math.max(likes.get(id)?.likes ?? 0, Number(isLiked))
        standings.set(id, { likes: count, below: below.get(id)?.below ?? 0, liked: isLiked })
      }
      return standings
    },
  }
}
