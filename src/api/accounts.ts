import * as v from 'valibot'
import { signUp } from '../commands/accounts.ts'
import { json } from '../kernel/http/answer.ts'
import { describe } from '../kernel/http/describe.ts'
import { routes } from '../kernel/http/env.ts'
import { limited } from '../kernel/http/rate-limit.ts'
import { example, model } from '../kernel/http/schema.ts'
import { body, params } from '../kernel/http/validate.ts'
import { credentialModels, isAvailable } from '../reading/credentials.ts'
import type { AppEnv } from './env.ts'
import { fresh } from './middleware.ts'
import { BirthDate, DisplayName, Password, Username } from './profile-fields.ts'
import { answerSignedIn, originOf, SignedIn } from './sessions.ts'

const Email = example(v.pipe(v.string(), v.maxLength(254), v.email('must be an email address')), 'ada@example.org')

const NewAccount = model(
  'NewAccount',
  v.strictObject({
    username: Username,
    email: Email,
    password: Password,
    displayName: v.optional(v.nullable(DisplayName)),
    birthDate: v.optional(v.nullable(BirthDate)),
  }),
)

const Availability = model('Availability', v.object({ available: example(v.boolean(), true) }))

const tag = 'Accounts and sessions'

/** Becoming somebody. */
export const accountsRoutes = routes<AppEnv>()
  .post(
    '/accounts',
    describe('Sign up', {
      tag,
      description: `Signs in too. Once more with the same username and password it answers with a new session of the same account, whatever the email.
The address signs in at once and is yours for 7 days; one that is another's answers the same, and they are told. Ignores Idempotency-Key.`,
      auth: 'none',
      responses: { 201: SignedIn },
      problems: ['username_taken'],
    }),
    limited('sign-up'),
    body(NewAccount),
    async c => answerSignedIn(c, await signUp(c.get('commands'), c.get('body'), originOf(c))),
  )
  .get(
    '/usernames/:name',
    describe('Whether a username can be had', {
      tag,
      description: 'False also for what can be no username.',
      auth: 'none',
      responses: { 200: Availability },
    }),
    params({ name: example(v.pipe(v.string(), v.maxLength(200)), 'ada') }),
    fresh(...credentialModels),
    async c => {
      const username = v.safeParse(Username, c.get('params').name)
      return json(c, { available: username.success && (await isAvailable(c.get('reading'), username.output)) })
    },
  )
