import { account, accountStream } from '../domain/accounts/account.ts'
import { type MediaState, type MediaUse, media, mediaStream } from '../domain/media/media.ts'
import { type PostState, post, postStream } from '../domain/posts/post.ts'
import type { Actor } from '../kernel/execute.ts'
import type { AccountId, MediaId, PostId } from '../kernel/ids.ts'
import { notFound, Problem } from '../kernel/problem.ts'
import { mediaWithout } from '../reading/media.ts'
import { mediaFolder, renditionKey } from '../reading/pictures.ts'
import type { Commands, SignedInActor } from './context.ts'

/** Bytes of an upload, at most. */
export const uploadLimit = 50 * 1024 * 1024

/**
 * Keeps an image with its renditions, decoded before the answer. Files are stored first, then told of: a crash in between leaves files that nobody
 * hears of, for `mediaSweep`. A repeat of the same id decodes nothing.
 * @param request of an Idempotency-Key; the same id with other bytes is refused
 * @returns the position of the upload
 * @throws Problem unsupported_media_type, media_unreadable, payload_too_large, idempotency_key_reused, not_found where a repeat's picture is gone
 */
export async function uploadMedia(
  { execute, imaging, storage }: Commands,
  actor: SignedInActor,
  { id, request }: { id: MediaId; request: string | undefined },
  bytes: Uint8Array,
): Promise<number> {
  const stream = mediaStream(id)
  const upload = async (): Promise<number> => {
    if (request !== undefined) {
      const { state, position } = await execute(media, stream, { type: 'Recall' }, actor, { request })
      if (state.status === 'discarded') throw notFound('media')
      if (state.status !== 'none') return position
    }
    const { width, height, blurhash, renditions } = await imaging.process(bytes)
    try {
      for (const { name, bytes, contentType } of renditions)
        await storage.put(renditionKey(actor.id, id, name), bytes, contentType)
    } catch (error) {
      // A full disk gets its room back at once. What has a key waits for its repeat or the sweep: another node may be at it too.
      if (request === undefined) await storage.remove(mediaFolder(actor.id, id))
      throw error
    }
    const sizes = renditions.map(({ name, width, height }) => ({ name, width, height }))
    const command = { type: 'Upload', mediaId: id, ownerId: actor.id, width, height, renditions: sizes, blurhash } as const
    try {
      return (await execute(media, stream, command, actor, { request })).position
    } catch (error) {
      // Its owner was erased while it was decoded.
      if (error instanceof Problem && error.code === 'not_found') await storage.remove(mediaFolder(actor.id, id))
      throw error
    }
  }
  return request === undefined ? upload() : inTurn(id, upload)
}

const turns = new Map<string, Promise<unknown>>()

/** One after the other by key: a repeat that comes while the first runs waits for it. */
async function inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
  const turn = (turns.get(key) ?? Promise.resolve()).then(work, work)
  turns.set(key, turn)
  try {
    return await turn
  } finally {
    if (turns.get(key) === turn) turns.delete(key)
  }
}

/**
 * Gives a picture its one place. Where it stands in a post that never came to be (its command failed or crashed), it is taken over: that post is
 * abandoned first, so that it never will. Whoever attaches several takes them in the order of their ids: of two that want the same ones, one wins.
 * @throws Problem media_not_found, media_in_use
 */
export async function attachMedia({ execute }: Commands, actor: SignedInActor, mediaId: MediaId, use: MediaUse): Promise<void> {
  const stream = mediaStream(mediaId)
  const attach = (inPlaceOf?: PostId) => execute(media, stream, { type: 'Attach', ownerId: actor.id, use, inPlaceOf }, actor)
  try {
    await attach()
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'media_in_use') throw error
    const { state } = await execute(media, stream, { type: 'Recall' }, actor)
    const holder = postOf(state)
    if (holder === null) throw error
    // Whose own post was abandoned has lost, and takes nothing from the winner.
    if (use.kind === 'post' && (await recallPost(execute, use.postId, actor)).status === 'abandoned') throw error
    if (await abandonedFor(execute, holder, mediaId, actor)) await attach(holder)
    else throw error
  }
}

/** Discards a picture that stands nowhere a day after its upload: in no post, in one that never came to be, or an avatar that was never shown. */
export async function expireMedia({ execute }: Commands, mediaId: MediaId, actor: Actor): Promise<void> {
  const stream = mediaStream(mediaId)
  const { state } = await execute(media, stream, { type: 'Recall' }, actor)
  if (state.status !== 'unused' && state.status !== 'used') return
  const { use, ownerId } = state
  if (use?.kind === 'post' && !(await abandonedFor(execute, use.postId, mediaId, actor))) return
  if (use?.kind === 'avatar') {
    const { state: owner } = await execute(account, accountStream(ownerId), { type: 'AbandonAvatar', mediaId }, actor)
    if (owner.avatar === mediaId) return
  }
  await execute(media, stream, { type: 'Discard', from: use }, actor)
}

/** Discards a picture if it still stands there: its post is deleted, or another avatar is shown. */
export async function discardMedia({ execute }: Commands, mediaId: MediaId, from: MediaUse, actor: Actor): Promise<void> {
  await execute(media, mediaStream(mediaId), { type: 'Discard', from }, actor)
}

/** Removes the files of a discarded picture. */
export const removeFiles = ({ storage }: Commands, ownerId: AccountId, mediaId: MediaId): Promise<void> =>
  storage.remove(mediaFolder(ownerId, mediaId))

type Execute = Commands['execute']

const postOf = (state: MediaState): PostId | null =>
  state.status === 'used' && state.use?.kind === 'post' ? state.use.postId : null

const recallPost = async (execute: Execute, postId: PostId, actor: Actor): Promise<PostState> =>
  (await execute(post, postStream(postId), { type: 'Recall' }, actor)).state

/** Whether the post holds the picture no longer, or never will: one that is not there yet is abandoned. */
async function abandonedFor(execute: Execute, postId: PostId, mediaId: MediaId, actor: Actor): Promise<boolean> {
  const { state } = await execute(post, postStream(postId), { type: 'Abandon', postId }, actor)
  return !('mediaIds' in state && state.mediaIds.includes(mediaId))
}

const atOnce = 500

/**
 * Makes the sweep that removes files of uploads that were never told of. A picture is swept when two sweeps in a row found files and no event of it,
 * so that no upload under way is lost: sweep at least an hour apart. Says how many it removed.
 */
export function mediaSweep({ execute, reading, storage }: Commands): (actor: Actor, signal?: AbortSignal) => Promise<number> {
  let suspects = new Set<string>()
  return async (actor, signal) => {
    const found = new Map<string, MediaId>()
    const stillSuspect = new Set<string>()
    let removed = 0
    const judge = async (): Promise<void> => {
      const folders = [...found]
      found.clear()
      const without = new Set(
        await mediaWithout(
          reading,
          folders.map(([, id]) => id),
        ),
      )
      for (const [folder, id] of folders) {
        if (!without.has(id)) continue
        const { state } = await execute(media, mediaStream(id), { type: 'Recall' }, actor)
        if (state.status !== 'none') continue
        if (suspects.has(folder)) {
          await storage.remove(folder)
          removed++
        } else stillSuspect.add(folder)
      }
    }
    for await (const key of storage.list('media/')) {
      if (signal?.aborted) return removed
      const [folder, mediaId] = /^media\/[^/]+\/([^/]+)\//.exec(key) ?? []
      if (folder === undefined || mediaId === undefined) continue
      found.set(folder, mediaId)
      if (found.size >= atOnce) await judge()
    }
    await judge()
    suspects = stillSuspect
    return removed
  }
}
