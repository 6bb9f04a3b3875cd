import type { Commands } from '../commands/context.ts'
import { acceptNeedlessRequests, askWhereItWasPrivate } from '../commands/relationships.ts'
import { AccountTypeChanged } from '../domain/accounts/account.ts'
import { Followed } from '../domain/relationships/relationship.ts'
import type { EventOf } from '../kernel/events.ts'
import type { EventStore } from '../kernel/ports/event-store.ts'
import { type Reaction, reaction } from '../kernel/projecting/consumers.ts'
import { accountModels } from '../reading/accounts.ts'
import { authorFacts } from '../reading/rules.ts'

const day = 86_400_000

/** Nobody needs to ask to follow an account that is personal again: who did is accepted. */
export const acceptRequests = ({ commands }: { commands: Commands }): Reaction =>
  reaction<EventOf<typeof AccountTypeChanged>>()({
    name: 'accept_requests',
    events: [AccountTypeChanged],
    maxAge: day,
    async react({ id, data: { accountId, type }, metadata, position }) {
      if (type !== 'personal') return
      await commands.settled(position, accountModels)
      const { correlationId } = metadata
      await acceptNeedlessRequests(commands, { id: accountId, sessionId: null, correlationId, causationId: id })
    },
  })

/** Nobody follows a private account unasked, also where the process died that was to see that the account had just become private. */
export const askInstead = ({ commands, store }: { commands: Commands; store: Pick<EventStore, 'read'> }): Reaction =>
  reaction<EventOf<typeof Followed>>()({
    name: 'ask_instead',
    events: [Followed],
    maxAge: Number.POSITIVE_INFINITY,
    async react(event) {
      const { followerId, followeeId } = event.data
      // Accepted by the other: on no older fact.
      if (event.metadata.actorId !== followerId) return
      await commands.settled(event.position, accountModels)
      const followee = (await authorFacts(commands.reading, null, [followeeId])).get(followeeId)
      if (followee === undefined || !followee.isPrivate) return
      const { correlationId } = event.metadata
      await askWhereItWasPrivate(commands, store, event, { id: null, sessionId: null, correlationId, causationId: event.id })
    },
  })
