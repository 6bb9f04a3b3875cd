import { account, accountStream } from '../domain/accounts/account.ts'
import { session, sessionLifetime, sessionStream } from '../domain/sessions/session.ts'
import type { Actor, Execute } from '../kernel/execute.ts'
import type { AccountId, SessionId } from '../kernel/ids.ts'
import { iso } from '../kernel/ports/clock.ts'
import type { Device, SessionRows } from '../kernel/ports/sessions.ts'
import { notFound, refuse } from '../kernel/problem.ts'
import { mac, type Secrets, sameBytes } from '../kernel/secrets.ts'
import type { Reading } from '../reading/context.ts'
import { type Credentials, candidatesOf, credentialsOf } from '../reading/credentials.ts'
import { allSessionIds, findSession, sessionModels } from '../reading/sessions.ts'
import type { Commands, SignedInActor } from './context.ts'

/** What a client signs its requests and its refreshes with. Secret: never kept, never logged. */
export type SessionTokens = {
  readonly id: SessionId
  readonly accessToken: string
  readonly accessTokenExpiresAt: string
  readonly refreshToken: string
  readonly refreshTokenExpiresAt: string
}

/** Who asks, from where. */
export type Origin = { readonly device: Device & { address: string }; readonly actor: Actor }

type Signed = SignedInActor & { readonly sessionId: SessionId }

/** The sessions' streams and rows, for whom the composition lets hold them. */
export const sessionRows = (execute: Execute, reading: Reading): SessionRows => ({
  find: sessionId => findSession(reading, sessionId),
  start: (sessionId, accountId, device, actor) => {
    const expiresAt = iso(reading.clock.now() + sessionLifetime)
    return execute(session, sessionStream(sessionId), { type: 'Start', sessionId, accountId, device, expiresAt }, actor)
  },
  end: (sessionId, accountId, actor) =>
    execute(session, sessionStream(sessionId), { type: 'End', accountId, reason: 'signed_out' }, actor),
})

/**
 * Signs in with a username or an email address.
 * @throws Problem invalid_credentials; rate_limited after too many guesses
 */
export async function signIn(
  commands: Commands,
  { login, password }: { login: string; password: string },
  { device, actor }: Origin,
): Promise<{ accountId: AccountId; tokens: SessionTokens; position: number }> {
  const { guesses, reading } = commands
  const subject = login.toLowerCase()
  await guesses.count('password', subject, device.address)
  const found = await whosePassword(commands, await candidatesOf(reading, login), password, actor)
  if (found === null) return refuse('invalid_credentials', 'The login or the password is wrong.')
  await guesses.succeeded('password', subject, device.address)
  return { accountId: found.accountId, ...(await startSession(commands, found.accountId, device, actor)) }
}

/** The first candidate whose password it is. All are asked, so that nobody learns from the time how many there are; an old hash is replaced. */
export async function whosePassword(
  { passwords, execute }: Commands,
  candidates: readonly (Credentials | null)[],
  password: string,
  actor: Actor,
): Promise<Credentials | null> {
  let found: Credentials | null = null
  for (const candidate of candidates) {
    const { right, upgrade } = await passwords.verify(candidate?.passwordHash ?? null, password)
    if (!right || candidate === null || found !== null) continue
    found = candidate
    if (upgrade) {
      const passwordHash = await passwords.hash(password)
      await execute(
        account,
        accountStream(found.accountId),
        { type: 'RehashPassword', passwordHash },
        { ...actor, id: found.accountId },
      )
    }
  }
  return found
}

/** Starts a session that works at once. */
export async function startSession(
  commands: Commands,
  accountId: AccountId,
  device: Device,
  actor: Actor,
): Promise<{ tokens: SessionTokens; position: number }> {
  const { sessions, settled, reading } = commands
  const { sessionId, position } = await sessions.start(accountId, device, { ...actor, id: accountId })
  await settled(position, sessionModels)
  const open = await sessions.validate(sessionId)
  // Erased between the password and here.
  if (open === null) throw notFound('account')
  const tokens = await tokensOf(commands, { accountId, sessionId }, refreshToken(reading.secrets, sessionId, 0), open.expiresAt)
  return { tokens, position }
}

/**
 * The successor of a refresh token: the same again for a minute, for an answer may have been lost, unless the successor was used.
 * @throws Problem refresh_token_invalid, session_revoked; refresh_token_reused, which ends the session
 */
export async function refreshSession(
  commands: Commands,
  token: string,
  actor: Actor,
): Promise<{ tokens: SessionTokens; position: number }> {
  const { execute, sessions, settled, reading } = commands
  const { sessionId, generation } = readRefreshToken(reading.secrets, token)
  const at = iso(reading.clock.now())
  const expiresAt = iso(reading.clock.now() + sessionLifetime)
  const { state, position } = await execute(
    session,
    sessionStream(sessionId),
    { type: 'Refresh', generation, at, expiresAt },
    { ...actor, sessionId },
  )
  await settled(position, sessionModels)
  if (state.status === 'ended')
    return refuse('refresh_token_reused', 'This refresh token was used before, so its session was ended: sign in again.')
  if ((await sessions.validate(sessionId)) === null) return refuse('session_revoked', 'This session has ended: sign in again.')
  const { accountId } = state
  const next = refreshToken(reading.secrets, sessionId, state.generation)
  return { tokens: await tokensOf(commands, { accountId, sessionId }, next, state.expiresAt), position }
}

/**
 * Ends one of the actor's sessions, at once on every node.
 * @throws Problem not_found for what is no session of theirs, read_model_behind where it is decided and not yet in effect: a repeat finishes it
 */
export async function endSession({ sessions, settled }: Commands, actor: Signed, sessionId: SessionId): Promise<number> {
  const { position } = await sessions.end(sessionId, actor.id, actor)
  await settled(position, sessionModels)
  return position
}

/** Ends all sessions of the actor but this one. */
export async function endOtherSessions({ sessions, settled, reading }: Commands, actor: Signed): Promise<number> {
  let last = 0
  for (const sessionId of await allSessionIds(reading, actor.id)) {
    if (sessionId !== actor.sessionId) last = Math.max(last, (await sessions.end(sessionId, actor.id, actor)).position)
  }
  await settled(last, sessionModels)
  return last
}

/** Milliseconds after a sign-in or the password in which what cannot be taken back may be asked for. */
const confirmationLasts = 600_000

/** The password once more, for what needs a fresh sign-in. @throws Problem invalid_credentials, rate_limited */
export async function confirmSession(commands: Commands, actor: Signed, password: string, address: string): Promise<number> {
  const { execute, guesses, settled, reading } = commands
  await guesses.count('password', actor.id, address)
  const found = await whosePassword(commands, [await credentialsOf(reading, actor.id)], password, actor)
  if (found === null) return refuse('invalid_credentials', 'The password is wrong.')
  await guesses.succeeded('password', actor.id, address)
  const { position } = await execute(
    session,
    sessionStream(actor.sessionId),
    { type: 'Confirm', at: iso(reading.clock.now()) },
    actor,
  )
  await settled(position, sessionModels)
  return position
}

/** @throws Problem reauthentication_required where the actor neither signed in nor gave the password within 10 minutes */
export async function mustBeConfirmed({ sessions, reading }: Commands, actor: Signed): Promise<void> {
  const open = await sessions.validate(actor.sessionId)
  if (open === null) return refuse('session_revoked', 'This session has ended: sign in again.')
  if (reading.clock.now() - Date.parse(open.confirmedAt) > confirmationLasts) {
    refuse('reauthentication_required', 'Give the password again: POST /v1/sessions/current/confirmation.')
  }
}

async function tokensOf(
  { accessTokens }: Commands,
  claims: { accountId: AccountId; sessionId: SessionId },
  refreshToken: string,
  refreshTokenExpiresAt: string,
): Promise<SessionTokens> {
  const { token, expiresAt } = await accessTokens.issue(claims)
  return { id: claims.sessionId, accessToken: token, accessTokenExpiresAt: expiresAt, refreshToken, refreshTokenExpiresAt }
}

/** `sid.n.HMAC(sid, n)`: kept nowhere, so that the successor of a lost answer can be made again. */
function refreshToken(secrets: Secrets, sessionId: SessionId, generation: number): string {
  const text = `${sessionId}.${generation}`
  return `${text}.${mac(secrets.key('refresh'), text, 24).toString('base64url')}`
}

function readRefreshToken(secrets: Secrets, token: string): { sessionId: SessionId; generation: number } {
  const [, text, sessionId, generation, signature] = /^(([0-9a-f-]{36})\.(\d{1,9}))\.([\w-]{32})$/.exec(token) ?? []
  const given = Buffer.from(signature ?? '', 'base64url')
  if (
    text === undefined ||
    sessionId === undefined ||
    !secrets.accepted('refresh').some(key => sameBytes(mac(key, text, 24), given))
  ) {
    return refuse('refresh_token_invalid', 'This refresh token was not issued here.')
  }
  return { sessionId, generation: Number(generation) }
}
