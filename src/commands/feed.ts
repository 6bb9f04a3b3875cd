import { fanOut, fanOutStream } from '../domain/feed/fan-out.ts'
import type { Actor } from '../kernel/execute.ts'
import type { AccountId } from '../kernel/ids.ts'
import { fanOutOf } from '../reading/feed.ts'
import type { Commands } from './context.ts'

/** Followers from which an author's posts are looked up when feeds are read, and down to which they stay so. */
export type FanOutLimits = { readonly stopAt: number; readonly resumeAt: number }

/** At 10,000 a post is some 50 ms of writing for the one process that projects feeds; looking it up costs each reader one index probe. */
export const fanOutLimits: FanOutLimits = { stopAt: 10_000, resumeAt: 8_000 }

/** Stops or resumes an author's fan-out where the followers have crossed a limit. Who is far from both costs one read. */
export async function measureFanOut(
  { execute, reading }: Commands,
  authorId: AccountId,
  limits: FanOutLimits,
  actor: Actor,
): Promise<void> {
  const { followers, stopped } = await fanOutOf(reading, authorId)
  if (stopped ? followers > limits.resumeAt : followers < limits.stopAt) return
  await execute(fanOut, fanOutStream(authorId), { type: 'Measure', authorId, followers, ...limits }, actor)
}
