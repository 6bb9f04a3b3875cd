import { newId } from '../../kernel/ids.ts'
import { type Clock, iso } from '../../kernel/ports/clock.ts'
import type { Mailer } from '../../kernel/ports/mail.ts'
import { type Database, sql } from '../../kernel/sql.ts'

/** Mails that stay here, to be looked at: `GET /dev/outbox`. */
export const outbox = (db: Database, clock: Clock): Mailer => ({
  async send({ key, accountId, to, subject, text }) {
    await db.run(sql`
      insert into kernel.outbox (id, key, channel, recipient, subject, text, account_id, at)
      values (${newId()}, ${key}, 'email', ${to}, ${subject}, ${text}, ${accountId}, ${iso(clock.now())}) on conflict (key) do nothing`)
  },
  async forget(accountId) {
    await db.run(sql`delete from kernel.outbox where account_id = ${accountId}`)
  },
})
