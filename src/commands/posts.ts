import { type Audience, hashtagsOf, type Location, type WhoComments } from '../domain/posts/content.ts'
import { type AltText, type PostContent, post, postStream } from '../domain/posts/post.ts'
import type { AccountId, PostId } from '../kernel/ids.ts'
import { executeIfMatch } from '../kernel/if-match.ts'
import { about, invalid, Problem, refuse } from '../kernel/problem.ts'
import { mentionedIn } from '../reading/mentions.ts'
import { authorFacts, knowable, mustSeePost, ruleModels } from '../reading/rules.ts'
import type { Commands, SignedInActor } from './context.ts'
import { attachMedia } from './media.ts'
import { checkWords } from './words.ts'

/** How many pictures a post can have, accounts its audience can name, and characters an alt text and a place's name. */
export const postLimits = { media: 20, audienceAccounts: 100, altText: 1_000, placeName: 200 } as const

export type PostDraft = {
  media: readonly AltText[]
  caption: string | null
  location: Location | null
  audience: Audience
  comments: WhoComments
}

/** What an edit changes; absent fields stay. */
export type PostChanges = Partial<Omit<PostDraft, 'media'>> & { altTexts?: readonly AltText[] | undefined }

/**
 * Publishes a post. Its pictures are given to it first; what a crash leaves given to a post that never came is taken over by the next.
 * @param request of an Idempotency-Key: a repeat is the first one's post
 * @returns the position of the post
 * @throws Problem media_not_found, media_in_use, validation_failed, idempotency_key_reused
 */
export async function createPost(
  commands: Commands,
  actor: SignedInActor,
  { id, request }: { id: PostId; request: string | undefined },
  draft: PostDraft,
): Promise<number> {
  const { execute } = commands
  if (request !== undefined) {
    const { state, position } = await execute(post, postStream(id), { type: 'Recall' }, actor, { request })
    if ('content' in state) return position
  }
  const mediaIds = draft.media.map(medium => medium.id)
  const content: PostContent = {
    ...(await wordsOf(commands, actor, draft.caption)),
    altTexts: draft.media.map(({ altText }) => altText),
    location: draft.location,
    audience: await knownAudience(commands, actor, draft.audience),
    comments: draft.comments,
  }
  for (const mediaId of [...mediaIds].sort()) {
    const attached = attachMedia(commands, actor, mediaId, { kind: 'post', postId: id })
    await about(`/media/${mediaIds.indexOf(mediaId)}/id`, attached)
  }
  const command = { type: 'Publish', postId: id, authorId: actor.id, mediaIds, content } as const
  return (await execute(post, postStream(id), command, actor, { request })).position
}

/**
 * Changes one's own post.
 * @param ifRevision as `executeIfMatch` takes it
 * @returns the position of the edit, in effect for everybody where it changed the audience
 * @throws Problem not_found, forbidden for another's post that the actor may see, version_conflict, validation_failed
 */
export async function editPost(
  commands: Commands,
  actor: SignedInActor,
  postId: PostId,
  { caption, audience, altTexts, ...changes }: PostChanges,
  ifRevision: number | undefined,
): Promise<number> {
  const { authorId } = await mustSeePost(commands.reading, actor.id, postId)
  if (authorId !== actor.id) return refuse('forbidden', 'Only its author can change a post.')
  const command = {
    type: 'Edit',
    actorId: actor.id,
    altTexts,
    changes: {
      ...changes,
      ...(caption === undefined ? {} : await wordsOf(commands, actor, caption)),
      ...(audience === undefined ? {} : { audience: await knownAudience(commands, actor, audience) }),
    },
  } as const
  const { position } = await executeIfMatch(commands.execute, post, postStream(postId), command, actor, ifRevision)
  if (audience !== undefined) await commands.settled(position, ruleModels)
  return position
}

/**
 * Deletes one's own post; what is deleted stays so.
 * @returns the position of the deletion, in effect for everybody
 * @throws Problem not_found, forbidden for another's post that the actor may see, read_model_behind: a repeat finishes it
 */
export async function deletePost(commands: Commands, actor: SignedInActor, postId: PostId): Promise<number> {
  try {
    const { position } = await commands.execute(post, postStream(postId), { type: 'Delete', actorId: actor.id }, actor)
    await commands.settled(position, ruleModels)
    return position
  } catch (error) {
    // That it is another's is told to those who may see it.
    if (error instanceof Problem && error.code === 'forbidden') await mustSeePost(commands.reading, actor.id, postId)
    throw error
  }
}

/** A caption, and what stands in it. Only white space is none. @throws Problem validation_failed */
async function wordsOf({ reading }: Commands, actor: SignedInActor, text: string | null) {
  const caption = text === null || text.trim() === '' ? null : text
  if (caption !== null) checkWords(caption, '/caption')
  return { caption, hashtags: hashtagsOf(caption), mentionIds: await mentionedIn(reading, actor.id, caption) }
}

/** The audience with each named account once. @throws Problem validation_failed for one that the author cannot know */
async function knownAudience({ reading }: Commands, actor: SignedInActor, audience: Audience): Promise<Audience> {
  if (audience.kind !== 'accounts') return audience
  const accounts = await authorFacts(reading, actor.id, audience.accountIds)
  const isUnknown = (id: AccountId): boolean => {
    const account = accounts.get(id)
    return account === undefined || !knowable(account.relation)
  }
  const unknown = audience.accountIds.findIndex(isUnknown)
  if (unknown !== -1) throw invalid(`/audience/accountIds/${unknown}`, 'is no account')
  return { kind: 'accounts', accountIds: [...new Set(audience.accountIds)] }
}
