import { type Adapter, Lucia, TimeSpan } from 'lucia'
import { newId } from '../../kernel/ids.ts'
import type { Clock } from '../../kernel/ports/clock.ts'
import type { SessionRows, Sessions } from '../../kernel/ports/sessions.ts'

/** ISO 8601, by our clock. */
type Attributes = { confirmedAt: string; openUntil: string }

declare module 'lucia' {
  interface Register {
    Lucia: Lucia<Attributes>
    DatabaseSessionAttributes: Attributes
  }
}

const options = { sessionExpiresIn: new TimeSpan(60, 'd'), getSessionAttributes: (attributes: Attributes) => attributes }

const nothing = async (): Promise<void> => {}

/** Lucia over sessions that are events: what it sets and deletes runs commands, each call with an adapter of its own to carry its outcome. */
export function luciaSessions(rows: SessionRows, clock: Clock): Sessions {
  const reads: Adapter = {
    async getSessionAndUser(sessionId) {
      const row = await rows.find(sessionId)
      if (row === null) return [null, null]
      const { accountId, confirmedAt, expiresAt: openUntil } = row
      // Lucia looks at the machine's clock.
      const expiresAt = new Date(Date.now() + Date.parse(openUntil) - clock.now())
      return [
        { id: sessionId, userId: accountId, expiresAt, attributes: { confirmedAt, openUntil } },
        { id: accountId, attributes: {} },
      ]
    },
    // Lists are read by queries of our own, and sessions are ended one by one.
    getUserSessions: async () => [],
    // What it wants to delete or prolong inside a validation does nothing: a row that lags behind must sign nobody out.
    setSession: nothing,
    updateSessionExpiration: nothing,
    deleteSession: nothing,
    deleteUserSessions: nothing,
    deleteExpiredSessions: nothing,
  }
  const validating = new Lucia(reads, options)

  return {
    async start(accountId, device, actor) {
      let position = 0
      const starting: Adapter = {
        ...reads,
        async setSession({ id }) {
          position = (await rows.start(id, accountId, device, actor)).position
        },
      }
      const { id } = await new Lucia(starting, options).createSession(
        accountId,
        { confirmedAt: '', openUntil: '' },
        { sessionId: newId() },
      )
      return { sessionId: id, position }
    },

    async validate(sessionId) {
      const { session } = await validating.validateSession(sessionId)
      if (session === null) return null
      const { userId, confirmedAt, openUntil } = session
      return { sessionId, accountId: userId, confirmedAt, expiresAt: openUntil }
    },

    async end(sessionId, accountId, actor) {
      let position = 0
      const ending: Adapter = {
        ...reads,
        async deleteSession(id) {
          position = (await rows.end(id, accountId, actor)).position
        },
      }
      await new Lucia(ending, options).invalidateSession(sessionId)
      return { position }
    },
  }
}
