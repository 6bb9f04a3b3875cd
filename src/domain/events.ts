import type { EventType } from '../kernel/events.ts'
import { accountEvents } from './accounts/account.ts'
import { nameEvents } from './accounts/name.ts'
import { commentEvents } from './comments/comment.ts'
import { feedEvents } from './feed/fan-out.ts'
import { likeEvents } from './likes/like.ts'
import { mediaEvents } from './media/media.ts'
import { notificationEvents } from './notifications/seen.ts'
import { postEvents } from './posts/post.ts'
import { relationshipEvents } from './relationships/relationship.ts'
import { sessionEvents } from './sessions/session.ts'

/** Every type of event that Darkroom writes. */
export const allEvents = [
  ...accountEvents,
  ...nameEvents,
  ...sessionEvents,
  ...relationshipEvents,
  ...mediaEvents,
  ...postEvents,
  ...commentEvents,
  ...likeEvents,
  ...notificationEvents,
  ...feedEvents,
] as unknown as readonly EventType[]
