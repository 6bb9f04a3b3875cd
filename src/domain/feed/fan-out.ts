import { decider, streamName } from '../../kernel/decider.ts'
import { type EventsOf, eventType } from '../../kernel/events.ts'
import type { AccountId } from '../../kernel/ids.ts'

/** Whether an author's posts are written into each follower's feed, or looked up when it is read. */
export const fanOutStream = (authorId: AccountId): string => streamName('fanout', authorId)

const FanOutStopped = eventType<'FanOutStopped', { authorId: AccountId; followers: number }>('FanOutStopped')
const FanOutResumed = eventType<'FanOutResumed', { authorId: AccountId; followers: number }>('FanOutResumed')

export const feedEvents = [FanOutStopped, FanOutResumed] as const
export { FanOutResumed, FanOutStopped }
export type FeedEvent = EventsOf<typeof feedEvents>

export type FanOutState = { readonly stopped: boolean }

/** With hysteresis, so that an author at the threshold does not cross it all the time. */
export type FanOutCommand = { type: 'Measure'; authorId: AccountId; followers: number; stopAt: number; resumeAt: number }

export const fanOut = decider<FanOutState, FanOutCommand, FeedEvent>({
  initial: { stopped: false },
  evolve: (_, event) => ({ stopped: event.type === 'FanOutStopped' }),
  decide: ({ authorId, followers, stopAt, resumeAt }, { stopped }) => {
    if (!stopped && followers >= stopAt) return [FanOutStopped({ authorId, followers })]
    return stopped && followers <= resumeAt ? [FanOutResumed({ authorId, followers })] : []
  },
})
