import * as v from 'valibot'
import {
  confirmSession,
  endOtherSessions,
  endSession,
  type Origin,
  refreshSession,
  type SessionTokens,
  signIn,
} from '../commands/sessions.ts'
import { pageQuery } from '../kernel/cursor.ts'
import { json, send } from '../kernel/http/answer.ts'
import { describe } from '../kernel/http/describe.ts'
import { routes } from '../kernel/http/env.ts'
import { noStore } from '../kernel/http/headers.ts'
import { limited } from '../kernel/http/rate-limit.ts'
import { example, listOf, model } from '../kernel/http/schema.ts'
import { body, params, query } from '../kernel/http/validate.ts'
import type { AccountId } from '../kernel/ids.ts'
import { credentialModels } from '../reading/credentials.ts'
import { meModels, meView } from '../reading/me.ts'
import { sessionModels, sessionPage } from '../reading/sessions.ts'
import { type AppEnv, acknowledge, type Ctx, present } from './env.ts'
import { Me } from './me.ts'
import { fresh, signedIn } from './middleware.ts'
import { Id, Time } from './schemas.ts'

const Tokens = model(
  'SessionTokens',
  v.object({
    id: Id,
    accessToken: example(v.pipe(v.string(), v.description('A JWT, for Authorization: Bearer')), 'eyJhbGciOiJIUzI1NiJ9.e30.c2ln'),
    accessTokenExpiresAt: Time,
    refreshToken: example(v.string(), '018f6e5a-7c1d-4b7e-9a51-3f0c2d9b8e14.0.c2lnbmF0dXJl'),
    refreshTokenExpiresAt: Time,
  }),
)

/** What signing up and signing in answer. */
export const SignedIn = model('SignedIn', v.object({ account: Me, session: Tokens }))
const Refreshed = model('Refreshed', v.object({ session: Tokens }))

const Session = model(
  'Session',
  v.object({
    id: Id,
    current: example(v.pipe(v.boolean(), v.description('The one that asks')), true),
    device: v.nullable(
      v.object({
        userAgent: example(v.nullable(v.string()), 'Darkroom/1.0 (iOS 19)'),
        address: example(v.nullable(v.string()), '203.0.113.9'),
      }),
    ),
    startedAt: Time,
    refreshedAt: Time,
    expiresAt: Time,
  }),
)

const Login = example(
  v.pipe(v.string(), v.minLength(1), v.maxLength(254), v.description('A username or an email address')),
  'ada',
)
/** Any, for what is a wrong one now may have been taken once. */
const GivenPassword = example(v.pipe(v.string(), v.minLength(1), v.maxLength(1024)), 'correct horse battery staple')

const NewSession = model('NewSession', v.strictObject({ login: Login, password: GivenPassword }))
const RefreshToken = model(
  'RefreshToken',
  v.strictObject({
    refreshToken: example(v.pipe(v.string(), v.maxLength(200)), '018f6e5a-7c1d-4b7e-9a51-3f0c2d9b8e14.0.c2lnbmF0dXJl'),
  }),
)
const Confirmation = model('Confirmation', v.strictObject({ password: GivenPassword }))

/** Where a request that signs in comes from. */
export const originOf = (c: Ctx): Origin => ({
  device: { userAgent: c.req.header('user-agent')?.slice(0, 300) ?? null, address: c.get('clientAddress') },
  actor: { id: null, sessionId: null, correlationId: c.get('correlationId') },
})

/** 201 with the account and its new session. */
export async function answerSignedIn(
  c: Ctx,
  { accountId, tokens, position }: { accountId: AccountId; tokens: SessionTokens; position: number },
) {
  noStore(c)
  await present(c, position, meModels)
  const { view } = await meView(c.get('reading'), accountId)
  return json(c, { account: view, session: tokens }, 201)
}

const tag = 'Accounts and sessions'

/** Being somebody: signing in and out, on one device and on others. */
export const sessionsRoutes = routes<AppEnv>()
  .post(
    '/sessions',
    describe('Sign in', {
      tag,
      description: 'Ignores Idempotency-Key: each is a session of its own.',
      auth: 'none',
      responses: { 201: SignedIn },
      problems: ['invalid_credentials'],
    }),
    limited('sign-in'),
    body(NewSession),
    fresh(...credentialModels),
    async c => answerSignedIn(c, await signIn(c.get('commands'), c.get('body'), originOf(c))),
  )
  .post(
    '/sessions/refresh',
    describe('Take new tokens', {
      tag,
      description: `A refresh token serves once. For 60 s the same one answers with the same successor, unless that was used; any other second use ends
the session. Ignores Idempotency-Key.`,
      auth: 'none',
      responses: { 201: Refreshed },
      problems: ['refresh_token_invalid', 'refresh_token_reused', 'session_revoked'],
    }),
    body(RefreshToken),
    async c => {
      noStore(c)
      const { tokens, position } = await refreshSession(c.get('commands'), c.get('body').refreshToken, originOf(c).actor)
      acknowledge(c, position)
      return json(c, { session: tokens }, 201)
    },
  )
  .get(
    '/sessions',
    describe('One’s open sessions', { tag, responses: { 200: listOf(Session) }, problems: ['cursor_invalid'] }),
    fresh(...sessionModels),
    signedIn,
    query(pageQuery),
    async c => {
      const { id: accountId, sessionId } = c.get('actor')
      return json(c, await sessionPage(c.get('reading'), { accountId, sessionId }, c.get('query')))
    },
  )
  .post(
    '/sessions/current/confirmation',
    describe('Give the password again', {
      tag,
      description: 'Allows what needs a sign-in of the last 10 minutes.',
      responses: { 204: null },
      problems: ['invalid_credentials'],
    }),
    fresh(...credentialModels),
    signedIn,
    limited('sign-in'),
    body(Confirmation),
    async c => {
      acknowledge(c, await confirmSession(c.get('commands'), c.get('actor'), c.get('body').password, c.get('clientAddress')))
      return send(c, null, 204)
    },
  )
  .delete(
    '/sessions/:id',
    describe('Sign out', {
      tag,
      description: 'One session, also this one; it ends at once.',
      responses: { 204: null },
      problems: ['not_found'],
    }),
    fresh(...sessionModels),
    signedIn,
    params({ id: Id }),
    async c => {
      acknowledge(c, await endSession(c.get('commands'), c.get('actor'), c.get('params').id))
      return send(c, null, 204)
    },
  )
  .delete(
    '/sessions',
    describe('Sign out everywhere else', {
      tag,
      description: 'All sessions but this one end at once.',
      responses: { 204: null },
    }),
    fresh(...sessionModels),
    signedIn,
    async c => {
      acknowledge(c, await endOtherSessions(c.get('commands'), c.get('actor')))
      return send(c, null, 204)
    },
  )
