import type { AccountId } from '../kernel/ids.ts'
import { iso } from '../kernel/ports/clock.ts'
import { notFound } from '../kernel/problem.ts'
import { accountsModel } from '../projections/accounts/project.ts'
import { erasureRow, privateFields } from '../projections/accounts/queries.ts'
import { type AccountView, accountView, profileModels } from './accounts.ts'
import type { Reading } from './context.ts'

export const meModels = profileModels
export const erasureModels = [accountsModel] as const

/** One's own account. */
export type MeView = AccountView & {
  /** Null where there is none, or its claim has lapsed. */
  readonly email: string | null
  readonly emailVerified: boolean
  readonly pronouns: string | null
  readonly gender: string | null
  /** YYYY-MM-DD */
  readonly birthDate: string | null
  readonly city: string | null
  readonly country: string | null
  readonly createdAt: string
}

/** One's own account, with its revision for the ETag. @throws Problem not_found where it was erased meanwhile */
export async function meView(reading: Reading, accountId: AccountId): Promise<{ view: MeView; revision: number }> {
  const now = iso(reading.clock.now())
  const [{ view, revision }, [own]] = await Promise.all([
    accountView(reading, accountId, accountId),
    privateFields(reading.db, { accountId, now }),
  ])
  if (own === undefined) throw notFound('account')
  return { view: { ...view, ...own, emailVerified: false }, revision }
}

/** The receipt of an erasure: that it was asked for and done, nothing of whom. */
export type ErasureView = {
  readonly id: string
  readonly status: 'pending' | 'completed'
  readonly requestedAt: string
  readonly completedAt: string | null
}

/** @throws Problem not_found */
export async function erasureView({ db }: Reading, id: string): Promise<ErasureView> {
  const [row] = await erasureRow(db, { id })
  if (row === undefined) throw notFound('erasure')
  const { requestedAt, completedAt } = row
  return { id, status: completedAt === null ? 'pending' : 'completed', requestedAt, completedAt }
}
