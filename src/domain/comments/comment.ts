import { decider, streamName } from '../../kernel/decider.ts'
import { type EventsOf, eventType } from '../../kernel/events.ts'
import type { AccountId, CommentId, PostId } from '../../kernel/ids.ts'
import { notFound, refuse } from '../../kernel/problem.ts'

/** One comment on a post, or a reply to one. */
export const commentStream = (commentId: CommentId): string => streamName('comment', commentId)

const CommentAdded = eventType<
  'CommentAdded',
  {
    commentId: CommentId
    postId: PostId
    postAuthorId: AccountId
    authorId: AccountId
    /** The top-level comment that it stands under; replies have no replies of their own. */
    parentId: CommentId | null
    /** Whom it answers: the author of the comment or reply that was replied to. */
    repliedToId: AccountId | null
    text: string | null
    mentionIds: AccountId[]
  }
>('CommentAdded', { personal: { text: 'authorId' } })
const CommentEdited = eventType<
  'CommentEdited',
  {
    commentId: CommentId
    postId: PostId
    postAuthorId: AccountId
    authorId: AccountId
    parentId: CommentId | null
    text: string | null
    mentionIds: AccountId[]
    addedMentionIds: AccountId[]
  }
>('CommentEdited', { personal: { text: 'authorId' } })
/** With a top-level comment go its replies. */
const CommentDeleted = eventType<
  'CommentDeleted',
  {
    commentId: CommentId
    postId: PostId
    postAuthorId: AccountId
    authorId: AccountId
    parentId: CommentId | null
    deletedBy: AccountId
  }
>('CommentDeleted')

export const commentEvents = [CommentAdded, CommentEdited, CommentDeleted] as const
export { CommentAdded, CommentDeleted, CommentEdited }
export type CommentEvent = EventsOf<typeof commentEvents>

type Place = { commentId: CommentId; postId: PostId; postAuthorId: AccountId; authorId: AccountId; parentId: CommentId | null }

export type CommentState =
  | { status: 'none' }
  | ({ status: 'visible' | 'deleted'; text: string | null; mentionIds: AccountId[] } & Place)

const initial: CommentState = { status: 'none' }

const placeOf = ({ commentId, postId, postAuthorId, authorId, parentId }: Place): Place => ({
  commentId,
  postId,
  postAuthorId,
  authorId,
  parentId,
})

function evolve(state: CommentState, event: CommentEvent): CommentState {
  switch (event.type) {
    case 'CommentAdded': {
      const { text, mentionIds } = event.data
      return { status: 'visible', text, mentionIds, ...placeOf(event.data) }
    }
    case 'CommentEdited':
      return state.status === 'none' ? state : { ...state, text: event.data.text, mentionIds: event.data.mentionIds }
    case 'CommentDeleted':
      return state.status === 'none' ? state : { ...state, status: 'deleted' }
  }
}

export type CommentCommand =
  | ({ type: 'Add'; repliedToId: AccountId | null; text: string; mentionIds: AccountId[] } & Place)
  /** Decides nothing: who asks gets the state, as the leader has it. */
  | { type: 'Recall' }
  /** Without a text nothing is to be changed. */
  | { type: 'Edit'; actorId: AccountId; text: string | undefined; mentionIds: AccountId[] }
  | { type: 'Delete'; actorId: AccountId }

function decide(command: CommentCommand, state: CommentState): CommentEvent[] {
  switch (command.type) {
    case 'Add': {
      const { repliedToId, text, mentionIds } = command
      if (state.status === 'none') return [CommentAdded({ ...placeOf(command), repliedToId, text, mentionIds })]
      if (state.status === 'visible') return []
      throw notFound('comment')
    }
    case 'Recall':
      return []
    case 'Edit': {
      if (state.status !== 'visible') throw notFound('comment')
      if (state.authorId !== command.actorId) return refuse('forbidden', 'Only its author can change a comment.')
      const { text, mentionIds } = command
      if (text === undefined || text === state.text) return []
      const addedMentionIds = mentionIds.filter(id => !state.mentionIds.includes(id))
      return [CommentEdited({ ...placeOf(state), text, mentionIds, addedMentionIds })]
    }
    case 'Delete': {
      if (state.status === 'none') throw notFound('comment')
      const allowed = command.actorId === state.authorId || command.actorId === state.postAuthorId
      if (state.status === 'deleted') {
        if (allowed) return []
        throw notFound('comment')
      }
      if (!allowed) return refuse('forbidden', 'Only its author and the author of the post can delete a comment.')
      return [CommentDeleted({ ...placeOf(state), deletedBy: command.actorId })]
    }
  }
}

export const comment = decider<CommentState, CommentCommand, CommentEvent>({ initial, evolve, decide })
