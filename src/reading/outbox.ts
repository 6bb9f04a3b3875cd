import { type Db, query, sql } from '../kernel/sql.ts'

/** What was sent to somebody, as it lies in the outbox. */
export type OutboxItem = {
  readonly id: string
  readonly channel: 'email' | 'sms' | 'push'
  readonly to: string
  readonly subject: string | null
  readonly text: string
  readonly at: string
}

const newest = query<{ limit: number }, OutboxItem>(
  p =>
    sql`select id, channel, recipient as "to", subject, text, at from kernel.outbox where text <> '' order by at desc, id limit ${p.limit}`,
)

/** The newest 100. */
export const outboxItems = (db: Db): Promise<OutboxItem[]> => newest(db, { limit: 100 })
