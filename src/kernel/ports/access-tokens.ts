import type { AccountId, SessionId } from '../ids.ts'

/** Who an access token speaks for. Whether that session is still open is asked of the sessions. */
export type AccessClaims = { readonly accountId: AccountId; readonly sessionId: SessionId }

/** Short-lived tokens that requests carry. */
export interface AccessTokens {
  /** `expiresAt`: ISO 8601 UTC. */
  issue(claims: AccessClaims): Promise<{ token: string; expiresAt: string }>
  /** @throws Problem access_token_invalid, access_token_expired */
  verify(token: string): Promise<AccessClaims>
}
