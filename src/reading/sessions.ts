import * as v from 'valibot'
import { Cursors } from '../kernel/cursor.ts'
import type { AccountId, SessionId } from '../kernel/ids.ts'
import { iso } from '../kernel/ports/clock.ts'
import type { Device, OpenSession } from '../kernel/ports/sessions.ts'
import { sessionsModel } from '../projections/sessions/project.ts'
import { sessionIdsOf, sessionsOf } from '../projections/sessions/queries.ts'
import type { Reading } from './context.ts'

export const sessionModels = [sessionsModel] as const

export type SessionView = {
  readonly id: SessionId
  /** The one that asks. */
  readonly current: boolean
  readonly device: Device | null
  readonly startedAt: string
  readonly refreshedAt: string
  readonly expiresAt: string
}

/** Null for one that is unknown, ended or expired. */
export async function findSession({ db, clock, kept }: Reading, sessionId: SessionId): Promise<OpenSession | null> {
  const session = await kept.sessions.row(db, sessionId)
  if (session === undefined || Date.parse(session.expiresAt) <= clock.now()) return null
  const { id, ...whose } = session
  return { sessionId: id, ...whose }
}

/** Every session of an account, expired ones too. */
export async function allSessionIds({ db }: Reading, accountId: AccountId): Promise<SessionId[]> {
  return (await sessionIdsOf(db, { accountId })).map(({ id }) => id)
}

/** A page of an account's open sessions, the newest first. @throws Problem cursor_invalid */
export async function sessionPage(
  { db, clock, secrets }: Reading,
  viewer: { accountId: AccountId; sessionId: SessionId },
  { limit, cursor }: { limit: number; cursor?: string | undefined },
): Promise<{ items: SessionView[]; nextCursor: string | null }> {
  const { accountId } = viewer
  const cursors = new Cursors(secrets)
  const list = `sessions of ${accountId}`
  const [before] = cursors.read(list, v.tuple([v.number()]), cursor) ?? [null]
  const rows = await sessionsOf(db, { accountId, now: iso(clock.now()), before, limit: limit + 1 })
  const page = cursors.page(list, rows, limit, ({ position }) => [position])
  const items = page.items.map(({ position: _, ...row }) => ({ ...row, current: row.id === viewer.sessionId }))
  return { items, nextCursor: page.nextCursor }
}
