import { isReserved } from '../domain/accounts/reserved.ts'
import type { AccountId } from '../kernel/ids.ts'
import { iso } from '../kernel/ports/clock.ts'
import { mac } from '../kernel/secrets.ts'
import { accountsModel } from '../projections/accounts/project.ts'
import {
  type CredentialsRow,
  credentialsByEmail,
  credentialsById,
  credentialsByUsername,
} from '../projections/accounts/queries.ts'
import type { Reading } from './context.ts'

export type Credentials = CredentialsRow

/** What signing in reads. */
export const credentialModels = [accountsModel] as const

/** One address is one key, however it is written. */
export const emailKeyOf = ({ secrets }: Pick<Reading, 'secrets'>, email: string): string =>
  mac(secrets.key('emails'), email.trim().toLowerCase(), 24).toString('base64url')

/** What a username goes by in the log; names are lower case before. */
export const handleOf = ({ secrets }: Pick<Reading, 'secrets'>, username: string): string =>
  mac(secrets.key('names'), username, 24).toString('base64url')

/**
 * Whose password a login's may be: the account of that username, or those that claim that address. It is nobody's alone before it is verified, and who
 * claims it second must not learn by signing in that somebody was first. Always as many places for one kind of login, null where nobody stands.
 */
export async function candidatesOf(reading: Reading, login: string): Promise<(Credentials | null)[]> {
  if (!login.includes('@')) return [(await credentialsByUsername(reading.db, { username: login.toLowerCase() }))[0] ?? null]
  const now = iso(reading.clock.now())
  const [first, second] = await credentialsByEmail(reading.db, { emailKey: emailKeyOf(reading, login), now, limit: 2 })
  return [first ?? null, second ?? null]
}

/** Null for one that is erased. */
export async function credentialsOf({ db }: Reading, accountId: AccountId): Promise<Credentials | null> {
  return (await credentialsById(db, { accountId }))[0] ?? null
}

/** Whether a sign-up could have the name now. */
export async function isAvailable({ db }: Reading, username: string): Promise<boolean> {
  return !isReserved(username) && (await credentialsByUsername(db, { username })).length === 0
}
