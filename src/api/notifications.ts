import * as v from 'valibot'
import { seeNotifications } from '../commands/notifications.ts'
import { notificationTypes } from '../domain/notifications/notifications.ts'
import { pageQuery } from '../kernel/cursor.ts'
import { json } from '../kernel/http/answer.ts'
import { describe } from '../kernel/http/describe.ts'
import { routes } from '../kernel/http/env.ts'
import { example, listOf, model } from '../kernel/http/schema.ts'
import { body, query } from '../kernel/http/validate.ts'
import { mostUnseen, notificationModels, notificationsPage, unseenCount } from '../reading/notifications.ts'
import { type AppEnv, present } from './env.ts'
import { answerPage } from './lists.ts'
import { fresh, signedIn } from './middleware.ts'
import { AccountItem, Id, Time } from './schemas.ts'

const Notification = model(
  'Notification',
  v.object({
    id: Id,
    type: example(v.picklist(notificationTypes), 'comment'),
    at: Time,
    actors: v.pipe(v.array(AccountItem), v.description('The newest first, three at most')),
    count: example(
      v.pipe(
        v.number(),
        v.description('How many acted: likes of one post or comment and follows of one day are one notification'),
      ),
      1,
    ),
    post: v.nullable(
      v.object({ id: Id, thumbnailUrl: example(v.string(), 'https://photos.example/v1/media/…/thumbnail.jpg?v=…') }),
    ),
    comment: v.nullable(v.object({ id: Id, text: example(v.string(), 'What light!') })),
    seen: example(v.boolean(), false),
  }),
)

const Seen = model('NotificationsSeen', v.strictObject({ upToId: v.optional(v.nullable(Id), null) }))

const tag = 'Notifications'
const known = fresh(...notificationModels)

/** What an account is told of others' acts. */
const Unseen = v.object({ count: example(v.number(), 3) })

export const notificationsRoutes = routes<AppEnv>()
  .get(
    '/notifications',
    describe('Your notifications', {
      tag,
      description: 'By their last act, newest first. What may not be seen any more is left out.',
      responses: { 200: listOf(Notification) },
      problems: ['cursor_invalid'],
    }),
    known,
    signedIn,
    query(pageQuery),
    c =>
      answerPage(c, `notifications of ${c.get('actor').id}`, c.get('query'), page =>
        notificationsPage(c.get('reading'), c.get('actor').id, page),
      ),
  )
  .get(
    '/notifications/unseen',
    describe('How many notifications you have not seen', {
      tag,
      description: `Counts up to ${mostUnseen}.`,
      responses: { 200: Unseen },
    }),
    known,
    signedIn,
    query({}),
    async c => json(c, { count: await unseenCount(c.get('reading'), c.get('actor').id) }),
  )
  .put(
    '/notifications/seen',
    describe('Mark notifications as seen', {
      tag,
      description: 'Up to one of them, with all that are older; without `upToId` all that there are now.',
      responses: { 200: Unseen },
    }),
    known,
    signedIn,
    body(v.optional(Seen, {})),
    async c => {
      const position = await seeNotifications(c.get('commands'), c.get('actor'), c.get('body').upToId ?? null)
      await present(c, position, notificationModels)
      return json(c, { count: await unseenCount(c.get('reading'), c.get('actor').id) })
    },
  )
