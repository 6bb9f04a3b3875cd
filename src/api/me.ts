import * as v from 'valibot'
import { changeAvatar, changeProfile, changeType, changeUsername, eraseAccount } from '../commands/accounts.ts'
import { carry, json } from '../kernel/http/answer.ts'
import { describe } from '../kernel/http/describe.ts'
import { routes } from '../kernel/http/env.ts'
import { ifMatch, noStore, withEtag } from '../kernel/http/headers.ts'
import { example, model } from '../kernel/http/schema.ts'
import { body, params } from '../kernel/http/validate.ts'
import { erasureModels, erasureView, meModels, meView } from '../reading/me.ts'
import { type AppEnv, type Ctx, present } from './env.ts'
import { fresh, signedIn } from './middleware.ts'
import { Bio, BirthDate, City, Country, DisplayName, Gender, Pronouns, Username, Website } from './profile-fields.ts'
import { Profile } from './profiles.ts'
import { Id, Time } from './schemas.ts'

/** One's own account, with what nobody else is told. */
export const Me = model(
  'Me',
  v.object({
    ...Profile.entries,
    email: example(v.nullable(v.string()), 'ada@example.org'),
    emailVerified: v.boolean(),
    pronouns: example(v.nullable(v.string()), 'she/her'),
    gender: example(v.nullable(v.string()), null),
    birthDate: example(v.nullable(v.string()), '1990-12-10'),
    city: example(v.nullable(v.string()), 'London'),
    country: example(v.nullable(v.string()), null),
    createdAt: Time,
  }),
)

const ProfileChanges = model(
  'ProfileChanges',
  v.strictObject({
    displayName: v.optional(v.nullable(DisplayName)),
    bio: v.optional(v.nullable(Bio)),
    website: v.optional(v.nullable(Website)),
    pronouns: v.optional(v.nullable(Pronouns)),
    gender: v.optional(v.nullable(Gender)),
    birthDate: v.optional(v.nullable(BirthDate)),
    city: v.optional(v.nullable(City)),
    country: v.optional(v.nullable(Country)),
  }),
)
const NewUsername = model('NewUsername', v.strictObject({ username: Username }))
const NewAvatar = model('NewAvatar', v.strictObject({ mediaId: v.nullable(Id) }))
const NewType = model('NewType', v.strictObject({ type: v.picklist(['personal', 'private']) }))

const Erasure = model(
  'Erasure',
  v.object({
    id: Id,
    status: example(v.picklist(['pending', 'completed']), 'completed'),
    requestedAt: Time,
    completedAt: v.nullable(Time),
  }),
)

const tag = 'Oneself'

const answerMe = async (c: Ctx) => {
  const { view, revision } = await meView(c.get('reading'), c.get('actor').id)
  return withEtag(c, view, revision)
}

/** One's own account. */
export const meRoutes = routes<AppEnv>()
  .get('/me', describe('Your account', { tag, responses: { 200: Me }, etag: true }), fresh(...meModels), signedIn, c =>
    answerMe(c),
  )
  .patch(
    '/me',
    describe('Change your profile', {
      tag,
      description: 'A merge patch: null clears, what is absent stays.',
      responses: { 200: Me },
      etag: true,
    }),
    fresh(...meModels),
    signedIn,
    body(ProfileChanges),
    async c => {
      const { position } = await changeProfile(c.get('commands'), c.get('actor'), c.get('body'), ifMatch(c))
      await present(c, position, meModels)
      return answerMe(c)
    },
  )
  .put(
    '/me/username',
    describe('Change your username', { tag, responses: { 200: Me }, problems: ['username_taken'] }),
    fresh(...meModels),
    signedIn,
    body(NewUsername),
    async c => {
      const { position } = await changeUsername(c.get('commands'), c.get('actor'), c.get('body').username)
      await present(c, position, meModels)
      return answerMe(c)
    },
  )
  .put(
    '/me/avatar',
    describe('Show a picture of yours as your avatar', {
      tag,
      description: 'null for none. The picture before it is removed. A picture that stands in a post must be uploaded once more.',
      responses: { 200: Me },
      problems: ['media_not_found', 'media_in_use'],
    }),
    fresh(...meModels),
    signedIn,
    body(NewAvatar),
    async c => {
      const { position } = await changeAvatar(c.get('commands'), c.get('actor'), c.get('body').mediaId)
      await present(c, position, meModels)
      return answerMe(c)
    },
  )
  .put(
    '/me/account-type',
    describe('Go private, or back', {
      tag,
      description:
        'A private account shows its posts to its followers alone, the earlier ones too, from the answer on. Back again it accepts who asked.',
      responses: { 200: Me },
    }),
    fresh(...meModels),
    signedIn,
    body(NewType),
    async c => {
      const { position } = await changeType(c.get('commands'), c.get('actor'), c.get('body').type)
      await present(c, position, meModels)
      return answerMe(c)
    },
  )
  .post(
    '/me/erasure',
    describe('Erase your account', {
      tag,
      description: `For good. Gone for everybody with this answer; keys, pictures and rows are destroyed right after. Needs a sign-in or the password within
10 minutes. The receipt tells when it is done, to whoever has its id.`,
      responses: { 202: v.object({ erasure: Erasure }) },
      problems: ['reauthentication_required'],
    }),
    fresh(...meModels),
    signedIn,
    async c => {
      const { erasureId, position } = await eraseAccount(c.get('commands'), c.get('actor'))
      noStore(c)
      await present(c, position, erasureModels)
      carry(c, { Location: `/v1/erasures/${erasureId}` })
      return json(c, { erasure: await erasureView(c.get('reading'), erasureId) }, 202)
    },
  )
  .get(
    '/erasures/:id',
    describe('The receipt of an erasure', { tag, auth: 'none', responses: { 200: Erasure }, problems: ['not_found'] }),
    params({ id: Id }),
    fresh(...erasureModels),
    async c => {
      noStore(c)
      return json(c, await erasureView(c.get('reading'), c.get('params').id))
    },
  )
