import type { Context } from 'hono'
import type { Commands } from '../commands/context.ts'
import type { Tokens } from '../kernel/consistency.ts'
import type { Actor } from '../kernel/execute.ts'
import { carry } from '../kernel/http/answer.ts'
import type { HttpEnv } from '../kernel/http/env.ts'
import type { AccountId, SessionId } from '../kernel/ids.ts'
import type { ReadModel } from '../kernel/projecting/model.ts'
import type { Reading, ViewerId } from '../reading/context.ts'

/** What the composition puts before every route. */
export type AppEnv = {
  Variables: {
    commands: Commands
    reading: Reading
    tokens: Tokens
    /** Null where nobody is signed in; set by `signedIn` and `maybeSignedIn`. */
    viewerId: ViewerId
    /** Set by `signedIn`: who acts, in which session and request. */
    actor: Actor & { id: AccountId; sessionId: SessionId }
  }
}

/** What helpers of handlers take: any handler's context has it, whatever validators stand before it. */
export type Ctx = Pick<Context<HttpEnv & AppEnv>, 'get' | 'var' | 'req'>

/** Puts the token of a command into its answer. */
export function acknowledge(c: Ctx, position: number): void {
  carry(c, { 'Consistency-Token': c.get('tokens').issue(position) })
}

/** The same, and waits until the models that the answer is read from have that command's effect. */
export async function present(c: Ctx, position: number, models: readonly ReadModel[]): Promise<void> {
  acknowledge(c, position)
  await c.get('commands').settled(position, models)
}
