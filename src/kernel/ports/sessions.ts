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

/** Starts sessions and says whether they are open. */
export interface Sessions {
  /** `position`: of the start in the log. */
  start(accountId: AccountId, device: Device): Promise<{ sessionId: SessionId; expiresAt: string; position: number }>
  /** Null for one that is unknown, ended or expired. */
  validate(sessionId: SessionId): Promise<OpenSession | null>
}
