import type { AccountId, SessionId } from '../../kernel/ids.ts'
import type { Device } from '../../kernel/ports/sessions.ts'
import { grouped, query, sql } from '../../kernel/sql.ts'
import { sessionsModel } from './project.ts'

const { sessions } = sessionsModel.t

export type WhoseSessionRow = { id: SessionId; accountId: AccountId; confirmedAt: string; expiresAt: string }

/** Sessions by id, in no order, expired ones too. */
export const whoseSessions = grouped<{ ids: readonly SessionId[] }, WhoseSessionRow>(
  { ids: 'uuid[]' },
  p => sql`
    select id, account_id as "accountId", confirmed_at as "confirmedAt", expires_at as "expiresAt"
    from ${sessions} where id = any(${p.ids})`,
)

export type SessionRow = {
  id: SessionId
  device: Device | null
  startedAt: string
  refreshedAt: string
  expiresAt: string
  position: number
}

/** An account's open sessions, the newest first, behind a position. */
export const sessionsOf = query<{ accountId: AccountId; now: string; before: number | null; limit: number }, SessionRow>(
  p => sql`
    select id, device, started_at as "startedAt", refreshed_at as "refreshedAt", expires_at as "expiresAt", position
    from ${sessions} where account_id = ${p.accountId} and expires_at > ${p.now} and (${p.before}::bigint is null or position < ${p.before})
    order by position desc limit ${p.limit}`,
)

export const sessionIdsOf = query<{ accountId: AccountId }, { id: SessionId }>(
  p => sql`select id from ${sessions} where account_id = ${p.accountId}`,
)
