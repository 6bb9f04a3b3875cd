import type { Reading, ViewerId } from './context.ts'

/** How a post or a comment stands: its likes, the comments or replies below it, and whether the viewer likes it. */
export type Standing = { readonly likes: number; readonly below: number; readonly liked: boolean }

/** How posts and comments stand, for what is answered as of one question, apart from the rest. Asks no rules. */
export function standingLooks({ kept }: Reading, viewerId: ViewerId) {
  const likes = kept.likes.look()
  const below = kept.below.look()
  const liked = viewerId === null ? null : kept.liked.look(viewerId)
  const found = new Map<string, { -readonly [Name in keyof Standing]: Standing[Name] | undefined }>()
  return {
    apart: liked === null ? [likes, below] : [likes, below, liked],
    /** What is found stays found, however often it is looked at. */
    look(ids: Iterable<string>): void {
      for (const id of ids) {
        const standing = found.get(id)
        if (standing === undefined) {
          found.set(id, { likes: likes.get(id)?.likes, below: below.get(id)?.below, liked: liked?.get(id) })
          continue
        }
        standing.likes ??= likes.get(id)?.likes
        standing.below ??= below.get(id)?.below
        standing.liked ??= liked?.get(id)
      }
    },
    /** All 0 of what does not exist. */
    of(id: string): Standing {
      const { likes = 0, below = 0, liked = false } = found.get(id) ?? {}
      // The viewer's own may have come between the two questions.
      return { likes: Math.max(likes, Number(liked)), below, liked }
    },
  }
}
