import { comment, commentStream } from '../domain/comments/comment.ts'
import type { AccountId, CommentId, PostId } from '../kernel/ids.ts'
import { executeIfMatch } from '../kernel/if-match.ts'
import { invalid, Problem, refuse } from '../kernel/problem.ts'
import { commentModels, mustSeeComment } from '../reading/comments.ts'
import type { Reading } from '../reading/context.ts'
import { mentionedIn } from '../reading/mentions.ts'
import { mayComment, mustSeePost } from '../reading/rules.ts'
import type { Commands, SignedInActor } from './context.ts'
import { checkWords } from './words.ts'

export type NewComment = { readonly text: string; readonly parentId: CommentId | null }

/**
 * Comments on a post, or replies to a comment; a reply to a reply stands under the same comment as that.
 * @param request of an Idempotency-Key: a repeat is the first one's comment
 * @returns the position of the comment
 * @throws Problem not_found where the actor may not see the post, forbidden where it takes no comment of theirs, idempotency_key_reused,
 * validation_failed for too many hashtags or mentions, and at /parentId for a comment that they may not see under this post
 */
export async function addComment(
  { execute, reading }: Commands,
  actor: SignedInActor,
  { id, request }: { id: CommentId; request: string | undefined },
  postId: PostId,
  { text, parentId }: NewComment,
): Promise<number> {
  if (request !== undefined) {
    const { state, position } = await execute(comment, commentStream(id), { type: 'Recall' }, actor, { request })
    if (state.status !== 'none') return position
  }
  checkWords(text, '/text')
  const post = await mustSeePost(reading, actor.id, postId)
  if (!mayComment(actor.id, post)) {
    const who =
      post.comments === 'off'
        ? 'Comments on this post are switched off.'
        : 'Only followers of its author can comment on this post.'
    return refuse('forbidden', who)
  }
  const command = {
    type: 'Add',
    commentId: id,
    postId,
    postAuthorId: post.authorId,
    authorId: actor.id,
    ...(parentId === null ? top : await under(reading, actor.id, postId, parentId)),
    text,
    mentionIds: await mentionedIn(reading, actor.id, text),
  } as const
  return (await execute(comment, commentStream(id), command, actor, { request })).position
}

type Standing = { parentId: CommentId | null; repliedToId: AccountId | null }

const top: Standing = { parentId: null, repliedToId: null }

async function under(reading: Reading, actorId: AccountId, postId: PostId, repliedTo: CommentId): Promise<Standing> {
  const found = await mustSeeComment(reading, actorId, repliedTo).catch((error: unknown) => {
    if (error instanceof Problem && error.code === 'not_found') return null
    throw error
  })
  if (found?.postId !== postId) throw invalid('/parentId', 'is no comment of this post')
  return { parentId: found.parentId ?? repliedTo, repliedToId: found.authorId }
}

/**
 * Changes the text; without one nothing.
 * @param ifRevision as `executeIfMatch` takes it
 * @returns the position of the edit
 * @throws Problem not_found where the actor may not see the comment, forbidden where it is not theirs, version_conflict
 */
export async function editComment(
  { execute, reading }: Commands,
  actor: SignedInActor,
  id: CommentId,
  { text }: { text?: string | undefined },
  ifRevision: number | undefined,
): Promise<number> {
  if (text !== undefined) checkWords(text, '/text')
  await mustSeeComment(reading, actor.id, id)
  const mentionIds = await mentionedIn(reading, actor.id, text ?? null)
  const command = { type: 'Edit', actorId: actor.id, text, mentionIds } as const
  return (await executeIfMatch(execute, comment, commentStream(id), command, actor, ifRevision)).position
}

/**
 * Deletes a comment, with its replies.
 * @returns the position of the deletion, in effect for everybody
 * @throws Problem not_found, forbidden for one that the actor may see and neither wrote nor has under a post of theirs, read_model_behind: a repeat finishes it
 */
export async function deleteComment(
  { execute, reading, settled }: Commands,
  actor: SignedInActor,
  id: CommentId,
): Promise<number> {
  try {
    const { position } = await execute(comment, commentStream(id), { type: 'Delete', actorId: actor.id }, actor)
    await settled(position, commentModels)
    return position
  } catch (error) {
    // That it is another's is told to those who may see it.
    if (error instanceof Problem && error.code === 'forbidden') await mustSeeComment(reading, actor.id, id)
    throw error
  }
}
