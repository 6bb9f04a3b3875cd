import type { Actor } from '../execute.ts'
import type { AccountId, SessionId } from '../ids.ts'

/** What a person knows their device by. */
export type Device = { readonly userAgent: string | null; readonly address: string | null }

/** A session that is open now. Times ISO 8601 UTC. */
export type OpenSession = {
  readonly sessionId: SessionId
  readonly accountId: AccountId
  readonly confirmedAt: string
  readonly expiresAt: string
}

/** Starts and ends sessions, and says whether one is open. Positions are of what was written to the log. */
export interface Sessions {
  start(accountId: AccountId, device: Device, actor: Actor): Promise<{ sessionId: SessionId; position: number }>
  /** Null for one that is unknown, ended or expired. */
  validate(sessionId: SessionId): Promise<OpenSession | null>
  /** Ended already is fine. @throws Problem not_found for what is no session of the account */
  end(sessionId: SessionId, accountId: AccountId, actor: Actor): Promise<{ position: number }>
}

/** Where sessions are kept. */
export interface SessionRows {
  find(sessionId: SessionId): Promise<OpenSession | null>
  start(sessionId: SessionId, accountId: AccountId, device: Device, actor: Actor): Promise<{ position: number }>
  end(sessionId: SessionId, accountId: AccountId, actor: Actor): Promise<{ position: number }>
}
