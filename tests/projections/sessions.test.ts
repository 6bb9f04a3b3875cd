import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AccountErased } from '../../src/domain/accounts/account.ts'
import { SessionConfirmed, SessionEnded, SessionRefreshed, SessionStarted } from '../../src/domain/sessions/session.ts'
import { sessionsModel } from '../../src/projections/sessions/project.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'
import { projected } from '../support/projection.ts'

let kernel: TestKernel
beforeAll(async () => {
  kernel = await testKernel()
})
afterAll(() => kernel.close())

const id = (n: number): string => `0a000000-0000-4000-8000-00000000000${n}`
const [ada, bob] = [id(1), id(2)]
const [s1, s2, s3] = [id(5), id(6), id(7)]
const expiresAt = '2026-03-02T12:00:00+00:00'
const later = '2026-03-03T12:00:00+00:00'
const device = { userAgent: 'Darkroom', address: '192.0.2.1' }
const started = (sessionId: string, accountId: string) => SessionStarted({ sessionId, accountId, expiresAt, device })
const erased = (accountId: string) =>
  AccountErased({ accountId, erasureId: id(9), handle: 'h', reservationId: id(8), emailKey: null })

describe('sessions', () => {
  it('are as they were last refreshed and confirmed', async () => {
    const { sessions } = await projected(kernel.db, sessionsModel, [
      started(s1, ada),
      SessionConfirmed({ sessionId: s1, accountId: ada, at: '2026-01-01T12:01:00+00:00' }),
      SessionRefreshed({ sessionId: s1, accountId: ada, generation: 1, at: '2026-01-01T12:02:00+00:00', expiresAt }),
      SessionRefreshed({ sessionId: s1, accountId: ada, generation: 2, at: '2026-01-01T12:03:00+00:00', expiresAt: later }),
      started(s2, bob),
    ])
    expect(sessions).toMatchObject([
      {
        id: s1,
        account_id: ada,
        device,
        started_at: '2026-01-01T12:00:00+00:00',
        confirmed_at: '2026-01-01T12:01:00+00:00',
        refreshed_at: '2026-01-01T12:03:00+00:00',
        expires_at: later,
        revision: 3,
      },
      { id: s2, account_id: bob, expires_at: expiresAt, revision: 0 },
    ])
  })

  it('are gone when they end, and with their account, also one that starts behind its erasure', async () => {
    const { sessions } = await projected(kernel.db, sessionsModel, [
      started(s1, ada),
      started(s2, bob),
      started(id(4), bob),
      SessionEnded({ sessionId: s2, accountId: bob, reason: 'signed_out' }),
      erased(ada),
      started(s3, ada),
    ])
    expect(sessions!.map(row => row.id)).toEqual([id(4)])
  })
})
