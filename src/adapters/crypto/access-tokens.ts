import { errors, type JWTPayload, jwtVerify, SignJWT } from 'jose'
import { LRUCache } from 'lru-cache'
import { isId } from '../../kernel/ids.ts'
import type { AccessClaims, AccessTokens } from '../../kernel/ports/access-tokens.ts'
import { type Clock, iso } from '../../kernel/ports/clock.ts'
import { refuse } from '../../kernel/problem.ts'
import type { Secrets } from '../../kernel/secrets.ts'

const lifetime = 15 * 60

/** JWTs by HS256: {sub: account, sid: session, iat, exp}. Verified ones are kept, in memory alone, where the key is too: `jose` takes longer than a read of Postgres. */
export function accessTokens(secrets: Secrets, clock: Clock, cacheSize = 20_000): AccessTokens {
  const known = new LRUCache<string, AccessClaims & { exp: number }>({ max: cacheSize })

  async function payloadOf(token: string): Promise<JWTPayload> {
    const options = { algorithms: ['HS256'], requiredClaims: ['sub', 'sid', 'exp'], currentDate: new Date(clock.now()) }
    for (const key of secrets.accepted('access')) {
      try {
        return (await jwtVerify(token, key, options)).payload
      } catch (error) {
        if (error instanceof errors.JWTExpired) return expired()
        if (error instanceof errors.JWSSignatureVerificationFailed) continue
        if (error instanceof errors.JOSEError) return refused()
        throw error
      }
    }
    return refused()
  }

  return {
    async issue({ accountId, sessionId }) {
      const now = Math.floor(clock.now() / 1000)
      const token = await new SignJWT({ sid: sessionId })
        .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
        .setSubject(accountId)
        .setIssuedAt(now)
        .setExpirationTime(now + lifetime)
        .sign(secrets.key('access'))
      return { token, expiresAt: iso((now + lifetime) * 1000) }
    },

    async verify(token) {
      let claims = known.get(token)
      if (claims === undefined) {
        const { sub, sid, exp } = await payloadOf(token)
        if (sub === undefined || typeof sid !== 'string' || exp === undefined || !isId(sub) || !isId(sid)) return refused()
        claims = { accountId: sub, sessionId: sid, exp }
        known.set(token, claims)
      }
      return claims.exp * 1000 <= clock.now() ? expired() : { accountId: claims.accountId, sessionId: claims.sessionId }
    },
  }
}

const refused = (): never => refuse('access_token_invalid', 'This access token was not issued here.')
const expired = (): never => refuse('access_token_expired', 'Take a new access token from POST /v1/sessions/refresh.')
