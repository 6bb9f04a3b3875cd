import { AccountErased } from '../../domain/accounts/account.ts'
import {
  SessionConfirmed,
  SessionEnded,
  type SessionEvent,
  SessionRefreshed,
  SessionStarted,
} from '../../domain/sessions/session.ts'
import type { EventOf, Recorded } from '../../kernel/events.ts'
import { readModel } from '../../kernel/projecting/model.ts'
import type { Change } from '../../kernel/projecting/notes.ts'
import { rows } from '../../kernel/rows.ts'
import { sql } from '../../kernel/sql.ts'
import { tables } from './tables.ts'

type Patch = {
  sessionId: string
  revision: number
  refreshedAt: string | null
  confirmedAt: string | null
  expiresAt: string | null
}

type SessionsEvent = SessionEvent | EventOf<typeof AccountErased>

/** Who is signed in, and until when: what every request asks. */
export const sessionsModel = readModel<SessionsEvent>()({
  name: 'sessions',
  version: 3,
  events: [SessionStarted, SessionRefreshed, SessionConfirmed, SessionEnded, AccountErased],
  tables,
  changes: changeOf,

  /** A session that ended is never open again, nor is an erased account: first what is new, then the changes put together, then what goes. */
  async project(batch, tx, t) {
    const started = batch.flatMap(event => (event.type === 'SessionStarted' ? [{ ...event, ...event.data }] : []))
    const ended = batch.flatMap(({ type, data }) => (type === 'SessionEnded' ? [data.sessionId] : []))
    const erased = [...new Set(batch.flatMap(({ type, data }) => (type === 'AccountErased' ? [data.accountId] : [])))]
    const patches = new Map<string, Patch>()
    for (const { type, data, revision } of batch) {
      if (type !== 'SessionRefreshed' && type !== 'SessionConfirmed') continue
      const { sessionId } = data
      const before = patches.get(sessionId)
      const [refreshedAt, expiresAt] =
        type === 'SessionRefreshed' ? [data.at, data.expiresAt] : [before?.refreshedAt, before?.expiresAt]
      const confirmedAt = type === 'SessionConfirmed' ? data.at : before?.confirmedAt
      patches.set(sessionId, {
        sessionId,
        revision,
        refreshedAt: refreshedAt ?? null,
        confirmedAt: confirmedAt ?? null,
        expiresAt: expiresAt ?? null,
      })
    }

    if (erased.length > 0) {
      await tx.run(
        sql`insert into ${t.erased} select * from ${rows(
          'e',
          { id: 'uuid' },
          erased.map(id => ({ id })),
        )} on conflict do nothing`,
      )
    }
    if (started.length > 0) {
      const columns = {
        sessionId: 'uuid',
        accountId: 'uuid',
        device: 'json',
        at: 'timestamptz',
        expiresAt: 'timestamptz',
        position: 'bigint',
      } as const
      await tx.run(sql`
        insert into ${t.sessions} (id, account_id, device, started_at, refreshed_at, confirmed_at, expires_at, position, revision)
        select "sessionId", "accountId", device, at, at, at, "expiresAt", position, 0 from ${rows('s', columns, started)}
        where "accountId" not in (select account_id from ${t.erased}) on conflict (id) do nothing`)
    }
    if (patches.size > 0) {
      const columns = {
        sessionId: 'uuid',
        revision: 'int',
        refreshedAt: 'timestamptz',
        confirmedAt: 'timestamptz',
        expiresAt: 'timestamptz',
      } as const
      await tx.run(sql`
        update ${t.sessions} s set revision = c.revision, refreshed_at = coalesce(c."refreshedAt", s.refreshed_at),
          confirmed_at = coalesce(c."confirmedAt", s.confirmed_at), expires_at = coalesce(c."expiresAt", s.expires_at)
        from ${rows('c', columns, [...patches.values()])} where s.id = c."sessionId"`)
    }
    if (ended.length + erased.length > 0) {
      await tx.run(
        sql`delete from ${t.sessions} where id = any(${sql.val(ended)}::uuid[]) or account_id = any(${sql.val(erased)}::uuid[])`,
      )
    }
  },
})

/** None of a session that starts: nobody keeps what is not there. */
function changeOf({ type, data, position }: Recorded<SessionsEvent>): Change[] {
  if (type === 'SessionStarted') return []
  return [
    type === 'AccountErased' ? { key: data.accountId, owner: true, position } : { key: data.sessionId, owner: false, position },
  ]
}
