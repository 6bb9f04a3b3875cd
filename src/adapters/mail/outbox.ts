import { newId } from '../../kernel/ids.ts'
import { type Clock, iso } from '../../kernel/ports/clock.ts'
import type { Mailer } from '../../kernel/ports/mail.ts'
import { type Db, sql } from '../../kernel/sql.ts'
import type { Tracing } from '../../kernel/tracing.ts'

/** Milliseconds: longer by far than anything that sends a mail may repeat it, or a delivery takes. */
const kept = 7 * 24 * 3_600_000

/**
 * Mails as rows: they wait here for `MailDelivery`, or where there is none stay to be looked at (`GET /dev/outbox`).
 * @param delivered how it is told of a new one; null where nobody delivers
 */
export const outbox = (db: Db, clock: Clock, delivered: (() => void) | null = null, tracing: Tracing | null = null): Mailer => ({
  async send({ key, accountId, to, subject, text }) {
    const now = iso(clock.now())
    await db.run(sql`
      insert into kernel.outbox (id, key, channel, recipient, subject, text, account_id, at, due, traceparent)
      values (${newId()}, ${key}, 'email', ${to}, ${subject}, ${text}, ${accountId}, ${now}, ${delivered === null ? null : now},
        ${tracing?.traceparent ?? null})
      on conflict (key) do nothing`)
    delivered?.()
  },
  async forget(accountId) {
    await db.run(sql`delete from kernel.outbox where account_id = ${accountId}`)
  },
  async sweep() {
    const gone = await db.run(sql`delete from kernel.outbox where due is null and at < ${iso(clock.now() - kept)} returning id`)
    return gone.length
  },
})
