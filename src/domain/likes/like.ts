import { decider, streamName } from '../../kernel/decider.ts'
import { type EventsOf, eventType } from '../../kernel/events.ts'
import type { AccountId, CommentId, PostId } from '../../kernel/ids.ts'

/** What is liked. */
export type Subject = { kind: 'post'; id: PostId } | { kind: 'comment'; id: CommentId }

/** One account's like of one post or comment: a stream of its own, so that a famous post is no hot spot. */
export const likeStream = (actorId: AccountId, subject: Subject): string => streamName('like', `${actorId}_${subject.id}`)

/** The ids that readers route by: no model needs a map from posts to authors. `authorId`: of what is liked. */
export type Like = { actorId: AccountId; subject: Subject; postId: PostId; authorId: AccountId }

const Liked = eventType<'Liked', Like>('Liked')
const Unliked = eventType<'Unliked', Like>('Unliked')

export const likeEvents = [Liked, Unliked] as const
export { Liked, Unliked }
export type LikeEvent = EventsOf<typeof likeEvents>

export type LikeState = { readonly liked: boolean }

const initial: LikeState = { liked: false }

const evolve = (_: LikeState, event: LikeEvent): LikeState => ({ liked: event.type === 'Liked' })

export type LikeCommand = { type: 'Like' | 'Unlike' } & Like

/** Liking what is liked already is no event: a client may repeat itself. */
function decide({ type, ...like }: LikeCommand, { liked }: LikeState): LikeEvent[] {
  switch (type) {
    case 'Like':
      return liked ? [] : [Liked(like)]
    case 'Unlike':
      return liked ? [Unliked(like)] : []
  }
}

export const like = decider<LikeState, LikeCommand, LikeEvent>({ initial, evolve, decide })
