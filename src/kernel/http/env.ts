import type { HttpBindings } from '@hono/node-server'
import { type Env, Hono } from 'hono'
import type { Problem } from '../problem.ts'
import type { Answering } from './answer.ts'
import type { RequestLimits } from './rate-limit.ts'

/**
 * What the edge gives every handler: `c.get('requestId')`, `c.get('logged')` (what lines of the log say of it), `c.get('clientAddress')`, `c.get('limits')`, and
 * `c.get('correlationId')` for what it writes: the request id, or the trace of a caller that names one. `c.get('answering')` is for `json`, `send` and `carry`;
 * `c.get('problem')` is what was answered with instead.
 */
export type HttpEnv = {
  /** Node's request and response; absent where a test calls `app.request`. */
  Bindings: Partial<HttpBindings>
  Variables: {
    requestId: string
    correlationId: string
    logged: Readonly<Record<string, string>>
    clientAddress: string
    limits: RequestLimits
    answering: Answering
    problem?: Problem
  }
}

/**
 * A feature's routes. `E` adds the variables that the composition puts before them (as `{ Variables: { commands: Commands } }`).
 *
 * ```ts
 * const NewComment = model('NewComment', v.strictObject({ text: example(Text, 'What light!'), parentId: v.optional(CommentId) }))
 *
 * export const comments = routes<AppEnv>().post(
 *   '/posts/:id/comments',
 *   describe('Comment on a post', { tag: 'Comments', responses: { 201: Comment }, problems: ['not_found'] }),
 *   signedIn,
 *   params({ id: PostId }),
 *   body(NewComment),
 *   async c => json(c, await comment(c.get('commands'), c.get('actor'), c.get('params').id, c.get('body')), 201),
 * )
 * ```
 */
export const routes = <E extends Env = Record<never, never>>() => new Hono<HttpEnv & E>()
