import type { Commands } from '../commands/context.ts'
import { type FanOutLimits, fanOutLimits, measureFanOut } from '../commands/feed.ts'
import { Followed, Unfollowed } from '../domain/relationships/relationship.ts'
import type { EventOf } from '../kernel/events.ts'
import { type Reaction, reaction } from '../kernel/projecting/consumers.ts'

const day = 86_400_000

/**
 * Measures an author's followers whenever one comes or goes. The count may be a few events behind: then the next follow sees the crossing, and nothing
 * but speed depends on it.
 */
export const measureFanOuts = ({ commands, limits = fanOutLimits }: { commands: Commands; limits?: FanOutLimits }): Reaction =>
  reaction<EventOf<typeof Followed | typeof Unfollowed>>()({
    name: 'fan_out',
    events: [Followed, Unfollowed],
    maxAge: day,
    async react({ id, data: { followeeId }, metadata: { correlationId } }) {
      await measureFanOut(commands, followeeId, limits, { id: null, sessionId: null, correlationId, causationId: id })
    },
  })
