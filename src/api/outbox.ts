import * as v from 'valibot'
import { carry, json } from '../kernel/http/answer.ts'
import { describe } from '../kernel/http/describe.ts'
import { routes } from '../kernel/http/env.ts'
import { isLocal } from '../kernel/http/operator.ts'
import { example, model } from '../kernel/http/schema.ts'
import { notFound } from '../kernel/problem.ts'
import type { Db } from '../kernel/sql.ts'
import { outboxItems } from '../reading/outbox.ts'
import { Id, Time } from './schemas.ts'

const Outbox = model(
  'Outbox',
  v.object({
    items: v.array(
      v.object({
        id: Id,
        channel: v.picklist(['email', 'sms', 'push']),
        to: example(v.string(), 'ada@example.org'),
        subject: example(v.nullable(v.string()), 'Somebody signed up with your address'),
        text: example(v.string(), 'If it was you, there is nothing to do.'),
        at: Time,
      }),
    ),
  }),
)

/** What would have been sent, for developers: at the root, only outside production, only from this machine to it. */
export const outboxRoutes = ({ db, production }: { db: Db; production: boolean }) =>
  routes().get(
    '/dev/outbox',
    describe('Mails that were sent', {
      tag: 'Operations',
      description: 'The newest 100. Not in production, and only for this machine.',
      auth: 'none',
      responses: { 200: Outbox },
      problems: ['not_found'],
    }),
    async c => {
      if (production || !isLocal(c)) throw notFound('page')
      carry(c, { 'Cache-Control': 'no-store' })
      return json(c, { items: await outboxItems(db) })
    },
  )
