import { describe, it } from 'vitest'
import { SessionConfirmed, SessionEnded, SessionRefreshed, SessionStarted, session } from '../../src/domain/sessions/session.ts'
import { given } from '../support/domain.ts'

const ids = { sessionId: 's1', accountId: 'ada' }
const device = { userAgent: null, address: null }
const time = (seconds: number): string => new Date(Date.UTC(2026, 0, 1, 12, 0, seconds)).toISOString()
const expiresAt = '2026-03-02T12:00:00.000Z'
const started = SessionStarted({ ...ids, expiresAt, device })
const refreshed = (generation: number, seconds: number) => SessionRefreshed({ ...ids, generation, at: time(seconds), expiresAt })
const reused = SessionEnded({ ...ids, reason: 'refresh_token_reused' })

describe('a session', () => {
  it('starts once', () =>
    given(session)
      .when({ type: 'Start', ...ids, expiresAt, device })
      .then([started]))
  it('is refreshed by its token of now', () =>
    given(session, started)
      .when({ type: 'Refresh', generation: 0, at: time(1), expiresAt })
      .then([refreshed(1, 1)]))
  it('answers a spent token with the same successor for a minute', () =>
    given(session, started, refreshed(1, 0))
      .when({ type: 'Refresh', generation: 0, at: time(60), expiresAt })
      .then([]))
  it('ends where a token is spent again later', () =>
    given(session, started, refreshed(1, 0))
      .when({ type: 'Refresh', generation: 0, at: time(61), expiresAt })
      .then([reused]))
  it('ends where a token is spent again whose successor was used', () =>
    given(session, started, refreshed(1, 0), refreshed(2, 1))
      .when({ type: 'Refresh', generation: 0, at: time(2), expiresAt })
      .then([reused]))
  it('is not refreshed once it expired', () =>
    given(session, started).when({ type: 'Refresh', generation: 0, at: expiresAt, expiresAt }).then('session_revoked'))
  it('is confirmed', () =>
    given(session, started)
      .when({ type: 'Confirm', at: time(5) })
      .then([SessionConfirmed({ ...ids, at: time(5) })]))
  it('is ended by its own account', () =>
    given(session, started)
      .when({ type: 'End', accountId: 'ada', reason: 'signed_out' })
      .then([SessionEnded({ ...ids, reason: 'signed_out' })]))
  it('is not there for another', () =>
    given(session, started).when({ type: 'End', accountId: 'bob', reason: 'signed_out' }).then('not_found'))
  it('does nothing once it ended', () => {
    const ended = SessionEnded({ ...ids, reason: 'signed_out' })
    given(session, started, ended)
      .when({ type: 'Refresh', generation: 0, at: time(1), expiresAt })
      .then('session_revoked')
    given(session, started, ended)
      .when({ type: 'Confirm', at: time(1) })
      .then('session_revoked')
    given(session, started, ended).when({ type: 'End', accountId: 'ada', reason: 'signed_out' }).then([])
  })
})
