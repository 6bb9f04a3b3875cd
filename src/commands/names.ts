import { setTimeout as pause } from 'node:timers/promises'
import { account, accountStream } from '../domain/accounts/account.ts'
import { emailStream, handleStream, name, type ReservationId } from '../domain/accounts/name.ts'
import type { Actor } from '../kernel/execute.ts'
import type { AccountId } from '../kernel/ids.ts'
import { iso } from '../kernel/ports/clock.ts'
import { unavailable } from '../kernel/problem.ts'
import type { Commands } from './context.ts'

/** Who has a name, by which reservation. */
export type Tenure = { readonly accountId: AccountId; readonly reservationId: ReservationId }

/** Milliseconds after which a reservation that did not become anything may be tried to be taken over; a sign-up takes a few. */
const patience = 5_000
const mostTries = 30
const betweenTries = 50

type Needs = Pick<Commands, 'execute' | 'reading'>

/**
 * Reserves a username: the reservation becomes a tenure when the account says so (SignedUp, UsernameChanged), and is then held.
 * A reservation that a crash left behind is taken over, but only once its account has made sure that it never comes to be: time permits only
 * to try. So two never hold one name.
 * @returns the tenure that stands: the one that was wanted, or another's
 * @throws Problem unavailable where somebody is about to take the name right now
 */
export async function reserveHandle(
  { execute, reading: { clock } }: Needs,
  handle: string,
  wanted: Tenure,
  actor: Actor,
): Promise<{ tenure: Tenure; position: number }> {
  const stream = handleStream(handle)
  let inPlaceOf: { inPlaceOf?: ReservationId } = {}
  for (let tries = 1; tries <= mostTries; tries++) {
    const { state, position } = await execute(
      name,
      stream,
      { type: 'Reserve', ...wanted, at: iso(clock.now()), until: null, ...inPlaceOf },
      actor,
    )
    if (state.status === 'free') continue
    const { accountId, reservationId } = state
    const tenure = { accountId, reservationId }
    if (reservationId === wanted.reservationId) return { tenure, position }
    if (state.status === 'held') {
      // One's own, but perhaps of a name that was changed since and is about to be released.
      if (accountId !== wanted.accountId || (await standsFor(execute, tenure, actor))) return { tenure, position }
      await execute(name, stream, { type: 'Release', ...tenure }, actor)
    } else if (clock.now() - Date.parse(state.at) < patience) {
      await pause(betweenTries)
    } else if (await standsFor(execute, tenure, actor)) {
      await execute(name, stream, { type: 'Hold', ...tenure }, actor)
    } else {
      inPlaceOf = { inPlaceOf: reservationId }
    }
  }
  throw unavailable('Somebody is taking this name at this moment; try again.', patience / 1000)
}

/** Whether the reservation came to be; if it did not, it never will. */
async function standsFor(execute: Needs['execute'], { accountId, reservationId }: Tenure, actor: Actor): Promise<boolean> {
  const { state } = await execute(account, accountStream(accountId), { type: 'AbandonName', accountId, reservationId }, actor)
  return state.reservationId === reservationId
}

/** Confirms a username whose account says that it is theirs. May come again, and late. */
export async function holdHandle({ execute }: Needs, handle: string, tenure: Tenure, actor: Actor): Promise<void> {
  await execute(name, handleStream(handle), { type: 'Hold', ...tenure }, actor)
}

/** Gives a username back. May come again, and late: a later tenure, the same account's too, is not touched. */
export async function releaseHandle({ execute }: Needs, handle: string, tenure: Tenure, actor: Actor): Promise<void> {
  await execute(name, handleStream(handle), { type: 'Release', ...tenure }, actor)
}

/** An account claims one address once, so its own id names the reservation. */
const claimOf = (accountId: AccountId): Tenure => ({ accountId, reservationId: accountId })

/**
 * Claims an email address until a time.
 * @returns whose the claim is, with the position of it; null where it had lapsed already
 */
export async function claimEmail(
  { execute, reading: { clock } }: Needs,
  emailKey: string,
  accountId: AccountId,
  until: string,
  actor: Actor,
): Promise<{ holderId: AccountId; position: number } | null> {
  const at = iso(clock.now())
  if (until <= at) return null
  const { state, position } = await execute(
    name,
    emailStream(emailKey),
    { type: 'Reserve', ...claimOf(accountId), at, until },
    actor,
  )
  return state.status === 'free' ? null : { holderId: state.accountId, position }
}

export async function releaseEmail({ execute }: Needs, emailKey: string, accountId: AccountId, actor: Actor): Promise<void> {
  await execute(name, emailStream(emailKey), { type: 'Release', ...claimOf(accountId) }, actor)
}
