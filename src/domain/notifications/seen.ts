import { decider, streamName } from '../../kernel/decider.ts'
import { type EventsOf, eventType } from '../../kernel/events.ts'
import type { AccountId } from '../../kernel/ids.ts'

/** How far an account has seen its notifications. */
export const notificationsStream = (accountId: AccountId): string => streamName('notifications', accountId)

/** `upTo`: the position of the newest notification seen. */
const NotificationsSeen = eventType<'NotificationsSeen', { accountId: AccountId; upTo: number }>('NotificationsSeen')

export const notificationEvents = [NotificationsSeen] as const
export { NotificationsSeen }
export type NotificationEvent = EventsOf<typeof notificationEvents>

export type SeenState = { readonly upTo: number }

export type SeenCommand = { type: 'See'; accountId: AccountId; upTo: number }

/** What is seen stays seen. */
export const seen = decider<SeenState, SeenCommand, NotificationEvent>({
  initial: { upTo: 0 },
  evolve: (_, event) => ({ upTo: event.data.upTo }),
  decide: ({ accountId, upTo }, state) => (upTo > state.upTo ? [NotificationsSeen({ accountId, upTo })] : []),
})
