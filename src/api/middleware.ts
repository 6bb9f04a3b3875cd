import type { Context, MiddlewareHandler } from 'hono'
import type { HttpEnv } from '../kernel/http/env.ts'
import { consistencyTokens, idempotencyKey } from '../kernel/http/headers.ts'
import { derivedId, type Id, newId } from '../kernel/ids.ts'
import type { OpenSession } from '../kernel/ports/sessions.ts'
import { Problem } from '../kernel/problem.ts'
import type { ReadModel } from '../kernel/projecting/model.ts'
import { mac } from '../kernel/secrets.ts'
import { OneRequest } from '../kernel/sql.ts'
import type { AppEnv, Ctx } from './env.ts'

type Handler = MiddlewareHandler<HttpEnv & AppEnv>

/** Stands before every route: gives it what it commands and reads with. */
export const withParts =
  ({ commands, reading, tokens }: Pick<AppEnv['Variables'], 'commands' | 'reading' | 'tokens'>): MiddlewareHandler =>
  async (c: Context<AppEnv>, next) => {
    const request = new OneRequest(reading.db)
    const own = { ...reading, db: request }
    c.set('reading', own)
    // What is read after a decision is to be as of after it: some commands ask whether what they were decided by still stands.
    c.set('commands', {
      ...commands,
      reading: own,
      execute: (...decision) => commands.execute(...decision).finally(() => request.anew()),
      settled: (...until) => commands.settled(...until).finally(() => request.anew()),
    })
    c.set('tokens', tokens)
    c.set('viewerId', null)
    try {
      await next()
    } finally {
      request.end()
    }
  }

/** Lets through who shows the access token of an open session: sets `actor` and `viewerId`. @throws Problem 401 for everybody else */
export const signedIn: Handler = async (c, next) => {
  const session = await sessionOf(c)
  if (session === null) throw new Problem('authentication_required', 'Send Authorization: Bearer with an access token.')
  await identify(c, session)
  await next()
}

/** Lets through who shows no token as nobody (`viewerId` null), else as `signedIn` does. @throws Problem 401 for a token that does not serve */
export const maybeSignedIn: Handler = async (c, next) => {
  const session = await sessionOf(c)
  if (session === null) c.set('viewerId', null)
  else await identify(c, session)
  await next()
}

/** The open session that the request shows; null where it shows nothing. */
async function sessionOf(c: Ctx): Promise<OpenSession | null> {
  const sent = c.req.header('authorization')
  if (sent === undefined) return null
  const token = /^bearer +([\w.~+/-]{1,4096}=*) *$/i.exec(sent)?.[1]
  if (token === undefined) throw new Problem('access_token_invalid', 'Authorization is not of the form: Bearer <access token>.')
  const [commands, reading] = [c.get('commands'), c.get('reading')]
  const { accountId, sessionId } = await commands.accessTokens.verify(token)
  // By the same question: what it finds changed serves what is read after it.
  const [session] = await Promise.all([commands.sessions.validate(sessionId), reading.kept.changes.follow(reading.db)])
  if (session === null || session.accountId !== accountId)
    throw new Problem('session_revoked', 'This session has ended: sign in again.')
  return session
}

async function identify(c: Context<HttpEnv & AppEnv>, { accountId, sessionId }: OpenSession): Promise<void> {
  await c.get('limits').identify(accountId)
  c.set('viewerId', accountId)
  c.set('actor', { id: accountId, sessionId, correlationId: c.get('correlationId') })
}

/**
 * The models that the handler reads are as new as the request's consistency tokens say. Stands before `signedIn`, so that what is asked of changes then is
 * asked once. @throws Problem 400, 409 for a bad token, 503 read_model_behind
 */
export const fresh =
  (...models: readonly ReadModel[]): Handler =>
  async (c, next) => {
    const tokens = consistencyTokens(c)
    const position = tokens.reduce((newest, token) => Math.max(newest, c.get('tokens').read(token)), 0)
    if (position > 0) await c.get('commands').settled(position, models)
    await next()
  }

/**
 * The id of what a POST makes, and the `request` for `execute`: with an Idempotency-Key a repeat comes to the same id, and is known by its
 * body. Stands behind `signedIn`.
 * @param body JSON; of an upload what tells its bytes from others (their hash)
 */
export function creation<Kind extends string>(c: Ctx, body: unknown): { id: Id<Kind>; request: string | undefined } {
  const key = idempotencyKey(c)
  if (key === undefined) return { id: newId(), request: undefined }
  const secret = c.get('reading').secrets.key('idempotency')
  return {
    id: derivedId(secret, c.get('actor').id, c.req.method, c.req.path, key),
    request: mac(secret, canonical(body), 16).toString('base64url'),
  }
}

/** JSON with the members in the order of their names, for clients may write them in any. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  ) ?? ''
