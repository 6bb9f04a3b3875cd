import { type LikeCommand, like, likeStream } from '../domain/likes/like.ts'
import type { CommentId, PostId } from '../kernel/ids.ts'
import { mustSeeComment } from '../reading/comments.ts'
import { countsBesideOwn } from '../reading/likes.ts'
import { mustSeePost } from '../reading/rules.ts'
import type { Commands, SignedInActor } from './context.ts'

type Toggle = LikeCommand['type']

/**
 * Decides, and counts all others' likes meanwhile: those do not depend on what is decided.
 * @throws Problem not_found where the actor may not see the post
 */
export async function togglePostLike({ execute, reading }: Commands, actor: SignedInActor, type: Toggle, postId: PostId) {
  const { authorId } = await mustSeePost(reading, actor.id, postId)
  const subject = { kind: 'post', id: postId } as const
  const [{ state, position }, counts] = await Promise.all([
    execute(like, likeStream(actor.id, subject), { type, actorId: actor.id, subject, postId, authorId }, actor),
    countsBesideOwn(reading, actor.id, subject),
  ])
  return { state, position, counts }
}

/** The same of a comment. @throws Problem not_found where the actor may not see the comment or its post */
export async function toggleCommentLike(
  { execute, reading }: Commands,
  actor: SignedInActor,
  type: Toggle,
  commentId: CommentId,
) {
  const { postId, authorId } = await mustSeeComment(reading, actor.id, commentId)
  const subject = { kind: 'comment', id: commentId } as const
  const [{ state, position }, counts] = await Promise.all([
    execute(like, likeStream(actor.id, subject), { type, actorId: actor.id, subject, postId, authorId }, actor),
    countsBesideOwn(reading, actor.id, subject),
  ])
  return { state, position, counts }
}
