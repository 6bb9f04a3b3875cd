import { type AccountType, account, accountStream, type Profile } from '../domain/accounts/account.ts'
import { isCommonPassword } from '../domain/accounts/common-passwords.ts'
import { isReserved } from '../domain/accounts/reserved.ts'
import { media, mediaStream } from '../domain/media/media.ts'
import { type AccountId, type Id, type MediaId, newId, type SessionId } from '../kernel/ids.ts'
import { executeIfMatch } from '../kernel/if-match.ts'
import { iso } from '../kernel/ports/clock.ts'
import { about, invalid, Problem, refuse } from '../kernel/problem.ts'
import { credentialModels, credentialsOf, emailKeyOf, handleOf } from '../reading/credentials.ts'
import { ruleModels } from '../reading/rules.ts'
import type { Commands, SignedInActor } from './context.ts'
import { holdHandle, releaseHandle, reserveHandle } from './names.ts'
import { mustBeConfirmed, type Origin, type SessionTokens, startSession, whosePassword } from './sessions.ts'

/** Milliseconds for which an address that is not verified belongs to who signed up with it. */
const claimLasts = 7 * 24 * 3_600_000

export type NewAccount = {
  /** In lower case. */
  readonly username: string
  readonly email: string
  readonly password: string
  readonly displayName?: string | null | undefined
  readonly birthDate?: string | null | undefined
}

/**
 * Signs somebody up and in. Once more with the same name and password it signs in: the answer may have been lost. What becomes of the address is
 * settled afterwards, by a reaction, so that nobody learns here whether it is somebody else's.
 * @throws Problem username_taken, validation_failed, rate_limited, unavailable where somebody is taking the name right now
 */
export async function signUp(
  commands: Commands,
  wanted: NewAccount,
  origin: Origin,
): Promise<{ accountId: AccountId; tokens: SessionTokens; position: number }> {
  const { execute, keys, passwords, reading } = commands
  const { username, email, password } = wanted
  mustBeAllowed(username)
  mustBeGood(password, [username, email.toLowerCase(), email.toLowerCase().split('@')[0]!])
  const profile = { displayName: wanted.displayName ?? null, birthDate: wanted.birthDate ?? null }
  mustBeOldEnough(profile.birthDate, reading.clock.now())

  const tenure = { accountId: newId<'account'>(), reservationId: newId<'reservation'>() }
  const { accountId } = tenure
  const actor = { ...origin.actor, id: accountId }
  // Before the name is reserved: from there on it is a matter of milliseconds.
  const passwordHash = await passwords.hash(password)
  const handle = handleOf(reading, username)
  const stands = await reserveHandle(commands, handle, tenure, actor)
  if (stands.tenure.accountId !== accountId)
    return signInAgain(commands, stands.tenure.accountId, stands.position, wanted, origin)
  await keys.create(accountId)
  const emailClaimedUntil = iso(reading.clock.now() + claimLasts)
  const signUp = {
    ...tenure,
    handle,
    username,
    email,
    emailKey: emailKeyOf(reading, email),
    emailClaimedUntil,
    passwordHash,
    profile,
  }
  await execute(account, accountStream(accountId), { type: 'SignUp', ...signUp }, actor)
  await holdHandle(commands, handle, tenure, actor)
  return { accountId, ...(await startSession(commands, accountId, origin.device, actor)) }
}

/** The name is taken, which is a repeat if the password is its holder's: counted as a guess, for it is one. */
async function signInAgain(
  commands: Commands,
  holderId: AccountId,
  position: number,
  { username, password }: NewAccount,
  { device, actor }: Origin,
): Promise<{ accountId: AccountId; tokens: SessionTokens; position: number }> {
  await commands.guesses.count('password', username, device.address)
  await commands.settled(position, credentialModels)
  const holder = await whosePassword(commands, [await credentialsOf(commands.reading, holderId)], password, actor)
  if (holder === null) return refuse('username_taken', `${username} is taken: choose another username.`)
  await commands.guesses.succeeded('password', username, device.address)
  return { accountId: holderId, ...(await startSession(commands, holderId, device, actor)) }
}

/** Changes the fields that are named. @param ifRevision as `executeIfMatch` takes it @throws Problem version_conflict */
export async function changeProfile(
  { execute, reading }: Commands,
  actor: SignedInActor,
  changes: Partial<Profile>,
  ifRevision: number | undefined,
): Promise<{ position: number }> {
  mustBeOldEnough(changes.birthDate ?? null, reading.clock.now())
  return executeIfMatch(execute, account, accountStream(actor.id), { type: 'ChangeProfile', changes }, actor, ifRevision)
}

/**
 * Takes another username and gives the old one back.
 * @param username in lower case
 * @throws Problem username_taken, validation_failed, unavailable
 */
export async function changeUsername(commands: Commands, actor: SignedInActor, username: string): Promise<{ position: number }> {
  const { execute, reading } = commands
  mustBeAllowed(username)
  const handle = handleOf(reading, username)
  const tenure = { accountId: actor.id, reservationId: newId<'reservation'>() }
  const stands = await reserveHandle(commands, handle, tenure, actor)
  if (stands.tenure.accountId !== actor.id) return refuse('username_taken', `${username} is taken: choose another username.`)
  if (stands.tenure.reservationId !== tenure.reservationId) return { position: stands.position }
  try {
    const { events, position } = await execute(
      account,
      accountStream(actor.id),
      { type: 'ChangeUsername', username, ...tenure, handle },
      actor,
    )
    await holdHandle(commands, handle, tenure, actor)
    for (const { type, data } of events) {
      if (type !== 'UsernameChanged') continue
      await releaseHandle(
        commands,
        data.previousHandle,
        { accountId: actor.id, reservationId: data.previousReservationId },
        actor,
      )
    }
    return { position }
  } catch (error) {
    // Refused, not failed: the name was not taken after all.
    if (error instanceof Problem && error.status < 500) await releaseHandle(commands, handle, tenure, actor)
    throw error
  }
}

/**
 * Shows one of the actor's pictures as their avatar, or none.
 * @throws Problem media_not_found, media_in_use
 */
export async function changeAvatar(
  { execute }: Commands,
  actor: SignedInActor,
  mediaId: MediaId | null,
): Promise<{ position: number }> {
  if (mediaId !== null) {
    const attach = { type: 'Attach', ownerId: actor.id, use: { kind: 'avatar' } } as const
    await about('/mediaId', execute(media, mediaStream(mediaId), attach, actor))
  }
  return about('/mediaId', execute(account, accountStream(actor.id), { type: 'ChangeAvatar', mediaId }, actor))
}

/** From personal to private, or back. Going private holds for everybody once this returns. @throws Problem read_model_behind: a repeat finishes it */
export async function changeType(
  { execute, settled }: Commands,
  actor: SignedInActor,
  accountType: AccountType,
): Promise<{ position: number }> {
  const { position } = await execute(account, accountStream(actor.id), { type: 'ChangeType', accountType }, actor)
  if (accountType === 'private') await settled(position, ruleModels)
  return { position }
}

/**
 * Erases the actor's account for good: gone for everybody once this returns; key, pictures and rows follow by a reaction.
 * @throws Problem reauthentication_required; read_model_behind where it is decided and not yet in effect everywhere
 */
export async function eraseAccount(
  commands: Commands,
  actor: SignedInActor & { sessionId: SessionId },
): Promise<{ erasureId: Id<'erasure'>; position: number }> {
  await mustBeConfirmed(commands, actor)
  const { state, position } = await commands.execute(
    account,
    accountStream(actor.id),
    { type: 'Erase', erasureId: newId() },
    actor,
  )
  await commands.settled(position, ruleModels)
  return { erasureId: state.erasureId!, position }
}

function mustBeAllowed(username: string): void {
  if (isReserved(username)) throw invalid('/username', 'is reserved: choose another')
}

function mustBeGood(password: string, ownWords: readonly string[]): void {
  const isOwn = ownWords.includes(password.toLowerCase())
  if (isOwn || isCommonPassword(password)) throw invalid('/password', 'is among the first that anybody would try: choose another')
}

const leastAge = 13
const mostAge = 130

/** @param birthDate a real date, YYYY-MM-DD */
function mustBeOldEnough(birthDate: string | null, now: number): void {
  if (birthDate === null) return
  const yearsAgo = (years: number): string => {
    const date = new Date(now)
    date.setUTCFullYear(date.getUTCFullYear() - years)
    return iso(date.getTime()).slice(0, 10)
  }
  if (birthDate > yearsAgo(leastAge)) throw invalid('/birthDate', `must be at least ${leastAge} years ago`)
  if (birthDate < yearsAgo(mostAge)) throw invalid('/birthDate', `must be at most ${mostAge} years ago`)
}
