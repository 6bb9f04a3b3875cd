import type { NotificationId } from '../domain/notifications/notifications.ts'
import { notificationsStream, seen } from '../domain/notifications/seen.ts'
import type { Actor } from '../kernel/execute.ts'
import type { AccountId } from '../kernel/ids.ts'
import { invalid } from '../kernel/problem.ts'
import { seenPosition } from '../reading/notifications.ts'
import type { Commands } from './context.ts'

/**
 * Marks the actor's notifications as seen, up to one of them or all that there are. Returns the position for the consistency token.
 * @throws Problem validation_failed where the actor has no such notification
 */
export async function seeNotifications(
  { execute, reading }: Commands,
  actor: Actor & { id: AccountId },
  upToId: NotificationId | null,
): Promise<number> {
  const upTo = await seenPosition(reading, actor.id, upToId)
  if (upTo === null && upToId !== null) throw invalid('/upToId', 'is no notification of yours')
  const command = { type: 'See', accountId: actor.id, upTo: upTo ?? 0 } as const
  const { position } = await execute(seen, notificationsStream(actor.id), command, actor)
  return position
}
