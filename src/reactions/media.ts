import type { Commands } from '../commands/context.ts'
import { discardMedia, expireMedia, mediaSweep, removeFiles } from '../commands/media.ts'
import { AvatarChanged } from '../domain/accounts/account.ts'
import { MediaDiscarded, MediaUploaded } from '../domain/media/media.ts'
import { PostDeleted } from '../domain/posts/post.ts'
import type { EventOf } from '../kernel/events.ts'
import type { Actor } from '../kernel/execute.ts'
import { iso } from '../kernel/ports/clock.ts'
import { type Reaction, reaction } from '../kernel/projecting/consumers.ts'
import type { Sweep } from '../kernel/sweeping.ts'
import { type Timer, timer } from '../kernel/timers.ts'

type Deps = { readonly commands: Commands }

/** The house itself, because of an event. */
const house = (correlationId: string, causationId: string | null = null): Actor => ({
  id: null,
  sessionId: null,
  correlationId,
  causationId,
})

/** It is never too late to clean up. */
const maxAge = Number.POSITIVE_INFINITY

const unusedFor = 24 * 3_600_000

/** A day after its upload a picture in no post is discarded. Cancelled by nothing but its end, for what it is given to may never come. */
export const mediaExpiry = (commands: () => Commands): Timer =>
  timer<EventOf<typeof MediaUploaded | typeof MediaDiscarded>>()({
    name: 'media_expiry',
    events: [MediaUploaded, MediaDiscarded],
    schedule: ({ type, data: { mediaId }, at }) =>
      type === 'MediaUploaded' ? [{ key: mediaId, due: iso(Date.parse(at) + unusedFor) }] : [{ cancel: mediaId }],
    fire: mediaId => expireMedia(commands(), mediaId, house(`media_expiry ${mediaId}`)),
  })

/** Pictures go with their post, and with the avatar that took their place. */
export const discardPictures = ({ commands }: Deps): Reaction =>
  reaction<EventOf<typeof PostDeleted | typeof AvatarChanged>>()({
    name: 'discard_pictures',
    events: [PostDeleted, AvatarChanged],
    maxAge,
    async react({ id, type, data, metadata: { correlationId } }) {
      const actor = house(correlationId, id)
      if (type === 'PostDeleted') {
        for (const mediaId of data.mediaIds) await discardMedia(commands, mediaId, { kind: 'post', postId: data.postId }, actor)
      } else if (data.previousMediaId !== null) {
        await discardMedia(commands, data.previousMediaId, { kind: 'avatar' }, actor)
      }
    },
  })

/** The files of a discarded picture are removed. */
export const removePictureFiles = ({ commands }: Deps): Reaction =>
  reaction<EventOf<typeof MediaDiscarded>>()({
    name: 'remove_picture_files',
    events: [MediaDiscarded],
    maxAge,
    react: ({ data: { ownerId, mediaId } }) => removeFiles(commands, ownerId, mediaId),
  })

/** Removes the files of uploads that were never told of. */
export const sweepFiles = ({ commands }: Deps): Sweep => {
  const sweep = mediaSweep(commands)
  return { of: 'files of no picture', atStart: false, run: signal => sweep(house('media_sweep'), signal) }
}
