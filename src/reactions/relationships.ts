import type { Commands } from '../commands/context.ts'
import { acceptNeedlessRequests } from '../commands/relationships.ts'
import { AccountTypeChanged } from '../domain/accounts/account.ts'
import type { EventOf } from '../kernel/events.ts'
import { type Reaction, reaction } from '../kernel/projecting/consumers.ts'
import { accountModels } from '../reading/accounts.ts'

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
