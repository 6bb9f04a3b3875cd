import { decider, streamName } from '../../kernel/decider.ts'
import { type EventsOf, eventType } from '../../kernel/events.ts'
import type { AccountId, MediaId, PostId } from '../../kernel/ids.ts'
import { invalid, notFound, refuse } from '../../kernel/problem.ts'
import type { Audience, Location, WhoComments } from './content.ts'

/** One post: one to twenty pictures with words, for an audience. */
export const postStream = (postId: PostId): string => streamName('post', postId)

/** What its author can change later; each edit is the whole of it. */
export type PostContent = {
  caption: string | null
  /** Lower case, without #, as they stand in the caption. */
  hashtags: string[] | null
  /** One a picture, in the pictures' order. */
  altTexts: (string | null)[] | null
  location: Location | null
  /** The accounts that the caption's @names stood for. */
  mentionIds: AccountId[]
  audience: Audience
  comments: WhoComments
}

const personal = { caption: 'authorId', hashtags: 'authorId', altTexts: 'authorId', location: 'authorId' } as const

const PostPublished = eventType<'PostPublished', { postId: PostId; authorId: AccountId; mediaIds: MediaId[] } & PostContent>(
  'PostPublished',
  { personal },
)
/** `previousAudience`: where it changed, for those who lose or gain the post. */
const PostEdited = eventType<
  'PostEdited',
  { postId: PostId; authorId: AccountId; addedMentionIds: AccountId[]; previousAudience: Audience | null } & PostContent
>('PostEdited', { personal })
/** `audience`: to whom it is told that the post is gone. */
const PostDeleted = eventType<'PostDeleted', { postId: PostId; authorId: AccountId; mediaIds: MediaId[]; audience: Audience }>(
  'PostDeleted',
)
/** Its pictures were taken over before it was there: it can never come to be. */
const PostAbandoned = eventType<'PostAbandoned', { postId: PostId }>('PostAbandoned')

export const postEvents = [PostPublished, PostEdited, PostDeleted, PostAbandoned] as const
export { PostAbandoned, PostDeleted, PostEdited, PostPublished }
export type PostEvent = EventsOf<typeof postEvents>

export type PostState =
  | { status: 'none' | 'abandoned' }
  | { status: 'published' | 'deleted'; postId: PostId; authorId: AccountId; mediaIds: MediaId[]; content: PostContent }

const initial: PostState = { status: 'none' }

const contentOf = ({ caption, hashtags, altTexts, location, mentionIds, audience, comments }: PostContent): PostContent => ({
  caption,
  hashtags,
  altTexts,
  location,
  mentionIds,
  audience,
  comments,
})

function evolve(state: PostState, event: PostEvent): PostState {
  switch (event.type) {
    case 'PostPublished': {
      const { postId, authorId, mediaIds } = event.data
      return { status: 'published', postId, authorId, mediaIds, content: contentOf(event.data) }
    }
    case 'PostEdited':
      return 'content' in state ? { ...state, content: contentOf(event.data) } : state
    case 'PostDeleted':
      return 'content' in state ? { ...state, status: 'deleted' } : state
    case 'PostAbandoned':
      return { status: 'abandoned' }
  }
}

export type PostCommand =
  | { type: 'Publish'; postId: PostId; authorId: AccountId; mediaIds: MediaId[]; content: PostContent }
  /** `altTexts`: of those of its pictures that get another one. */
  | {
      type: 'Edit'
      actorId: AccountId
      changes: Partial<Omit<PostContent, 'altTexts'>>
      altTexts?: readonly AltText[] | undefined
    }
  | { type: 'Delete'; actorId: AccountId }
  | { type: 'Abandon'; postId: PostId }
  /** Decides nothing: who asks gets the state, as the leader has it. */
  | { type: 'Recall' }

export type AltText = { id: MediaId; altText: string | null }

function decide(command: PostCommand, state: PostState): PostEvent[] {
  switch (command.type) {
    case 'Publish': {
      const { postId, authorId, mediaIds, content } = command
      if (state.status === 'none') return [PostPublished({ postId, authorId, mediaIds, ...content })]
      if (state.status === 'published') return []
      if (state.status === 'deleted') throw notFound('post')
      return refuse('media_in_use', 'Its pictures were taken for another post before this one was there: upload them again.')
    }
    case 'Recall':
      return []
    case 'Abandon':
      return state.status === 'none' ? [PostAbandoned({ postId: command.postId })] : []
    case 'Edit': {
      if (state.status !== 'published') throw notFound('post')
      if (state.authorId !== command.actorId) return refuse('forbidden', 'Only its author can change a post.')
      const altTexts = withAltTexts(state.mediaIds, state.content.altTexts, command.altTexts ?? [])
      const content = { ...state.content, ...command.changes, altTexts }
      if (JSON.stringify(contentOf(content)) === JSON.stringify(contentOf(state.content))) return []
      const { postId, authorId } = state
      const addedMentionIds = content.mentionIds.filter(id => !state.content.mentionIds.includes(id))
      const sameAudience = JSON.stringify(content.audience) === JSON.stringify(state.content.audience)
      return [
        PostEdited({
          postId,
          authorId,
          addedMentionIds,
          previousAudience: sameAudience ? null : state.content.audience,
          ...content,
        }),
      ]
    }
    case 'Delete': {
      if (!('content' in state)) throw notFound('post')
      if (state.status === 'deleted' && state.authorId === command.actorId) return []
      if (state.status === 'deleted') throw notFound('post')
      if (state.authorId !== command.actorId) return refuse('forbidden', 'Only its author can delete a post.')
      const { postId, authorId, mediaIds, content } = state
      return [PostDeleted({ postId, authorId, mediaIds, audience: content.audience })]
    }
  }
}

/** @throws Problem validation_failed for a picture that is not the post's */
function withAltTexts(
  mediaIds: MediaId[],
  before: PostContent['altTexts'],
  changes: readonly AltText[],
): PostContent['altTexts'] {
  const strange = changes.findIndex(({ id }) => !mediaIds.includes(id))
  if (strange !== -1) throw invalid(`/media/${strange}/id`, 'is no picture of this post')
  const texts = new Map(changes.map(({ id, altText }) => [id, altText]))
  return mediaIds.map((id, index) => texts.get(id) ?? (texts.has(id) ? null : (before?.[index] ?? null)))
}

export const post = decider<PostState, PostCommand, PostEvent>({ initial, evolve, decide })
