import { type LikeCommand, like, likeStream, type Subject } from '../domain/likes/like.ts'
import type { AccountId, CommentId, PostId } from '../kernel/ids.ts'
import { mustSeeComment } from '../reading/comments.ts'
import { countsBesideOwn } from '../reading/likes.ts'
import { mustSeePost } from '../reading/rules.ts'
import type { Commands, SignedInActor } from './context.ts'

type Toggle = LikeCommand['type']

type Place = { readonly postId: PostId; readonly authorId: AccountId }

/** Decides, and counts all others' likes meanwhile: those do not depend on what is decided. */
async function toggle({ execute, reading }: Commands, actor: SignedInActor, type: Toggle, subject: Subject, place: Place) {
  const [{ state, position }, counts] = await Promise.all([
    execute(like, likeStream(actor.id, subject), { type, actorId: actor.id, subject, ...place }, actor),
    countsBesideOwn(reading, actor.id, subject),
  ])
  return { state, position, counts }
}

/** @throws Problem not_found where the actor may not see the post */
export async function togglePostLike(commands: Commands, actor: SignedInActor, type: Toggle, postId: PostId) {
  const { authorId } = await mustSeePost(commands.reading, actor.id, postId)
  return toggle(commands, actor, type, { kind: 'post', id: postId }, { postId, authorId })
}

/** @throws Problem not_found where the actor may not see the comment or its post */
export async function toggleCommentLike(commands: Commands, actor: SignedInActor, type: Toggle, commentId: CommentId) {
  const { postId, authorId } = await mustSeeComment(commands.reading, actor.id, commentId)
  return toggle(commands, actor, type, { kind: 'comment', id: commentId }, { postId, authorId })
}
