import type { AccountId } from '../../kernel/ids.ts'
import { query, sql } from '../../kernel/sql.ts'
import { accountsModel } from './project.ts'

const { accounts, credentials, erasures } = accountsModel.t

export type CredentialsRow = { accountId: AccountId; username: string; email: string | null; passwordHash: string | null }

const row = sql`c.account_id as "accountId", c.username, c.email, c.password_hash as "passwordHash"`

export const credentialsById = query<{ accountId: AccountId }, CredentialsRow>(
  p => sql`select ${row} from ${credentials} c where c.account_id = ${p.accountId}`,
)

export const credentialsByUsername = query<{ username: string }, CredentialsRow>(
  p => sql`select ${row} from ${credentials} c where c.username = ${p.username}`,
)

/** Accounts whose claim of the address has not lapsed, the oldest first. */
export const credentialsByEmail = query<{ emailKey: string; now: string; limit: number }, CredentialsRow>(
  p => sql`
    select ${row} from ${credentials} c join ${accounts} a on a.id = c.account_id
    where c.email_key = ${p.emailKey} and c.email_claimed_until > ${p.now} order by a.position limit ${p.limit}`,
)

export type PrivateRow = {
  email: string | null
  pronouns: string | null
  gender: string | null
  birthDate: string | null
  city: string | null
  country: string | null
  createdAt: string
}

/** What only the account itself is told. */
export const privateFields = query<{ accountId: AccountId; now: string }, PrivateRow>(
  p => sql`
    select case when c.email_claimed_until > ${p.now} then c.email end as email,
      a.pronouns, a.gender, a.birth_date as "birthDate", a.city, a.country, a.created_at as "createdAt"
    from ${accounts} a join ${credentials} c on c.account_id = a.id where a.id = ${p.accountId}`,
)

export type ErasureRow = { id: string; requestedAt: string; completedAt: string | null }

export const erasureRow = query<{ id: string }, ErasureRow>(
  p => sql`select id, requested_at as "requestedAt", completed_at as "completedAt" from ${erasures} where id = ${p.id}`,
)
