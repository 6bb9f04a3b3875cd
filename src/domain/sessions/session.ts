import { decider, streamName } from '../../kernel/decider.ts'
import { type EventsOf, eventType } from '../../kernel/events.ts'
import type { AccountId, SessionId } from '../../kernel/ids.ts'
import type { Device } from '../../kernel/ports/sessions.ts'
import { notFound, refuse } from '../../kernel/problem.ts'

/** One sign-in on one device. Its id is public: the access token's `sid`. */
export const sessionStream = (sessionId: SessionId): string => streamName('session', sessionId)

/** Milliseconds that a session lives without being refreshed: 60 days. */
export const sessionLifetime = 60 * 24 * 3_600_000

/** Milliseconds in which a spent refresh token still answers with its successor, for an answer may have been lost. */
export const refreshGrace = 60_000

export type SessionEnd = 'signed_out' | 'refresh_token_reused' | 'account_erased'

const SessionStarted = eventType<
  'SessionStarted',
  { sessionId: SessionId; accountId: AccountId; expiresAt: string; device: Device | null }
>('SessionStarted', { personal: { device: 'accountId' } })
/** The `generation`-th refresh token is the one to use now; the first is number 0. */
const SessionRefreshed = eventType<
  'SessionRefreshed',
  { sessionId: SessionId; accountId: AccountId; generation: number; at: string; expiresAt: string }
>('SessionRefreshed')
/** The password was given once more: what needs a fresh sign-in is allowed for a while. */
const SessionConfirmed = eventType<'SessionConfirmed', { sessionId: SessionId; accountId: AccountId; at: string }>(
  'SessionConfirmed',
)
const SessionEnded = eventType<'SessionEnded', { sessionId: SessionId; accountId: AccountId; reason: SessionEnd }>('SessionEnded')

export const sessionEvents = [SessionStarted, SessionRefreshed, SessionConfirmed, SessionEnded] as const
export { SessionConfirmed, SessionEnded, SessionRefreshed, SessionStarted }
export type SessionEvent = EventsOf<typeof sessionEvents>

export type SessionState = {
  status: 'none' | 'open' | 'ended'
  sessionId: SessionId
  accountId: AccountId
  expiresAt: string
  generation: number
  refreshedAt: string
  confirmedAt: string
  reason: SessionEnd | null
}

const initial: SessionState = {
  status: 'none',
  sessionId: '',
  accountId: '',
  expiresAt: '',
  generation: 0,
  refreshedAt: '',
  confirmedAt: '',
  reason: null,
}

function evolve(state: SessionState, event: SessionEvent): SessionState {
  switch (event.type) {
    case 'SessionStarted': {
      const { sessionId, accountId, expiresAt } = event.data
      return { ...state, status: 'open', sessionId, accountId, expiresAt }
    }
    case 'SessionRefreshed': {
      const { generation, at, expiresAt } = event.data
      return { ...state, generation, refreshedAt: at, expiresAt }
    }
    case 'SessionConfirmed':
      return { ...state, confirmedAt: event.data.at }
    case 'SessionEnded':
      return { ...state, status: 'ended', reason: event.data.reason }
  }
}

export type SessionCommand =
  | { type: 'Start'; sessionId: SessionId; accountId: AccountId; expiresAt: string; device: Device }
  /** `generation`: of the token that was sent. A token spent before its time of grace ends the session: look at the state. */
  | { type: 'Refresh'; generation: number; at: string; expiresAt: string }
  | { type: 'Confirm'; at: string }
  /** Only of one's own. */
  | { type: 'End'; accountId: AccountId; reason: SessionEnd }

function decide(command: SessionCommand, state: SessionState): SessionEvent[] {
  const { sessionId, accountId } = state
  if (command.type === 'Start') {
    const { type: _, ...data } = command
    return state.status === 'none' ? [SessionStarted(data)] : []
  }
  if (command.type === 'End') {
    if (command.accountId !== accountId) throw notFound('session')
    return state.status === 'ended' ? [] : [SessionEnded({ sessionId, accountId, reason: command.reason })]
  }
  if (state.status === 'none') return refuse('session_revoked', 'This session does not exist.')
  if (state.status === 'ended') {
    if (state.reason === 'refresh_token_reused' && command.type === 'Refresh') return []
    return refuse('session_revoked', 'This session has ended: sign in again.')
  }
  switch (command.type) {
    case 'Confirm':
      return command.at > state.confirmedAt ? [SessionConfirmed({ sessionId, accountId, at: command.at })] : []
    case 'Refresh': {
      const { generation, at, expiresAt } = command
      if (at >= state.expiresAt) return refuse('session_revoked', 'This session has expired: sign in again.')
      if (generation === state.generation)
        return [SessionRefreshed({ sessionId, accountId, generation: generation + 1, at, expiresAt })]
      const spentJustNow = generation === state.generation - 1 && Date.parse(at) - Date.parse(state.refreshedAt) <= refreshGrace
      return spentJustNow ? [] : [SessionEnded({ sessionId, accountId, reason: 'refresh_token_reused' })]
    }
  }
}

export const session = decider<SessionState, SessionCommand, SessionEvent>({ initial, evolve, decide })
