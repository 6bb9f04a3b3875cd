import { decider, streamName } from '../../kernel/decider.ts'
import { type EventsOf, eventType } from '../../kernel/events.ts'
import type { AccountId, MediaId, PostId } from '../../kernel/ids.ts'
import { refuse } from '../../kernel/problem.ts'

/** One uploaded picture and its renditions. */
export const mediaStream = (mediaId: MediaId): string => streamName('media', mediaId)

export type RenditionSize = { name: string; width: number; height: number }

/** Where it stands: in one post, or as its owner's avatar. */
export type MediaUse = { kind: 'post'; postId: PostId } | { kind: 'avatar' }

const MediaUploaded = eventType<
  'MediaUploaded',
  {
    mediaId: MediaId
    ownerId: AccountId
    kind: 'image'
    width: number
    height: number
    renditions: RenditionSize[]
    blurhash: string | null
  }
>('MediaUploaded', { personal: { blurhash: 'ownerId' } })
const MediaAttached = eventType<'MediaAttached', { mediaId: MediaId; ownerId: AccountId; use: MediaUse }>('MediaAttached')
/** It is in no post any more, or never was: its files are removed. */
const MediaDiscarded = eventType<'MediaDiscarded', { mediaId: MediaId; ownerId: AccountId }>('MediaDiscarded')

export const mediaEvents = [MediaUploaded, MediaAttached, MediaDiscarded] as const
export { MediaAttached, MediaDiscarded, MediaUploaded }
export type MediaEvent = EventsOf<typeof mediaEvents>

export type MediaState =
  | { status: 'none' }
  | { status: 'unused' | 'used'; mediaId: MediaId; ownerId: AccountId; use: MediaUse | null }
  | { status: 'discarded' }

const initial: MediaState = { status: 'none' }

function evolve(_: MediaState, event: MediaEvent): MediaState {
  const { mediaId, ownerId } = event.data
  switch (event.type) {
    case 'MediaUploaded':
      return { status: 'unused', mediaId, ownerId, use: null }
    case 'MediaAttached':
      return { status: 'used', mediaId, ownerId, use: event.data.use }
    case 'MediaDiscarded':
      return { status: 'discarded' }
  }
}

export type MediaCommand =
  | {
      type: 'Upload'
      mediaId: MediaId
      ownerId: AccountId
      width: number
      height: number
      renditions: RenditionSize[]
      blurhash: string
    }
  /** `inPlaceOf`: the post that it was attached to, proven never to come to be. */
  | { type: 'Attach'; ownerId: AccountId; use: MediaUse; inPlaceOf?: PostId | undefined }
  /** Only while it stands there (null: nowhere). */
  | { type: 'Discard'; from: MediaUse | null }
  /** Decides nothing: who asks gets the state, as the leader has it. */
  | { type: 'Recall' }

const sameUse = (a: MediaUse | null, b: MediaUse | null): boolean =>
  a?.kind === b?.kind && (a?.kind === 'post' && b?.kind === 'post' ? a.postId === b.postId : true)

function decide(command: MediaCommand, state: MediaState): MediaEvent[] {
  if (command.type === 'Recall') return []
  if (command.type === 'Upload') {
    const { type: _, ...data } = command
    return state.status === 'none' ? [MediaUploaded({ ...data, kind: 'image' })] : []
  }
  if (state.status === 'none' || state.status === 'discarded') {
    return command.type === 'Discard'
      ? []
      : refuse('media_not_found', 'This media is unknown, or older than a day without a post.')
  }
  const { mediaId, ownerId } = state
  switch (command.type) {
    case 'Attach': {
      if (ownerId !== command.ownerId)
        return refuse('media_not_found', 'This media is unknown, or older than a day without a post.')
      if (sameUse(state.use, command.use)) return []
      const free = state.use === null || (state.use.kind === 'post' && state.use.postId === command.inPlaceOf)
      return free
        ? [MediaAttached({ mediaId, ownerId, use: command.use })]
        : refuse('media_in_use', 'Upload the picture again to use it twice.')
    }
    case 'Discard':
      return sameUse(state.use, command.from) ? [MediaDiscarded({ mediaId, ownerId })] : []
  }
}

export const media = decider<MediaState, MediaCommand, MediaEvent>({ initial, evolve, decide })
