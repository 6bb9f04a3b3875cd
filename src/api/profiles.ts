import * as v from 'valibot'
import { pageQuery } from '../kernel/cursor.ts'
import { json } from '../kernel/http/answer.ts'
import { describe } from '../kernel/http/describe.ts'
import { routes } from '../kernel/http/env.ts'
import { withEtag } from '../kernel/http/headers.ts'
import { example, listOf, model } from '../kernel/http/schema.ts'
import { params, query } from '../kernel/http/validate.ts'
import { accountModels, accountView, accountViews, profileModels } from '../reading/accounts.ts'
import { accountsOf } from '../reading/relationships.ts'
import type { AppEnv } from './env.ts'
import { answerPage } from './lists.ts'
import { fresh, maybeSignedIn } from './middleware.ts'
import { AccountCounts, AccountItem, AccountRef, AccountViewer, Id, ids } from './schemas.ts'

export const Profile = model(
  'Profile',
  v.object({
    id: Id,
    username: example(v.string(), 'ada'),
    displayName: example(v.nullable(v.string()), 'Ada Byron'),
    bio: example(v.nullable(v.string()), 'Light, mostly'),
    website: example(v.nullable(v.string()), 'https://ada.example/'),
    avatarUrl: example(v.nullable(v.string()), null),
    type: example(v.picklist(['personal', 'private']), 'personal'),
    isPrivate: v.boolean(),
    counts: AccountCounts,
    viewer: AccountViewer,
  }),
)

const tag = 'Profiles'

const lists = {
  followers: 'Who follows an account',
  following: 'Whom an account follows',
  mutuals: 'An account’s followers whom you follow',
} as const

const listRoute = (list: keyof typeof lists) =>
  describe(lists[list], {
    tag,
    description: 'Newest first. Empty where the account is private and you do not follow it, and where you block it.',
    auth: 'optional',
    responses: { 200: listOf(AccountItem) },
    problems: ['cursor_invalid'],
  })

const one = params({ account: AccountRef })

/** Profiles, for whoever may know the account. */
export const profilesRoutes = routes<AppEnv>()
  .get(
    '/accounts',
    describe('Several profiles by their ids', {
      tag,
      description: 'In the order of the ids; what you may not see is left out.',
      auth: 'optional',
      responses: { 200: v.object({ items: v.array(Profile), nextCursor: v.null() }) },
    }),
    fresh(...profileModels),
    maybeSignedIn,
    query({ ids }),
    async c => {
      const found = await accountViews(c.get('reading'), c.get('viewerId'), c.get('query').ids)
      const items = [...new Set(c.get('query').ids)].flatMap(id => found.get(id)?.view ?? [])
      return json(c, { items, nextCursor: null })
    },
  )
  .get(
    '/accounts/:account',
    describe('A profile', {
      tag,
      description:
        'Of a private account too; its counts are shown to all. An account that blocks you is as one that does not exist.',
      auth: 'optional',
      responses: { 200: Profile },
      etag: true,
    }),
    fresh(...profileModels),
    maybeSignedIn,
    one,
    async c => {
      const { view, revision } = await accountView(c.get('reading'), c.get('viewerId'), c.get('params').account)
      return withEtag(c, view, revision)
    },
  )
  .get('/accounts/:account/followers', listRoute('followers'), fresh(...accountModels), maybeSignedIn, one, query(pageQuery), c =>
    answerPage(c, `followers of ${c.get('params').account}`, c.get('query'), page =>
      accountsOf(c.get('reading'), c.get('viewerId'), 'followers', c.get('params').account, page),
    ),
  )
  .get('/accounts/:account/following', listRoute('following'), fresh(...accountModels), maybeSignedIn, one, query(pageQuery), c =>
    answerPage(c, `following of ${c.get('params').account}`, c.get('query'), page =>
      accountsOf(c.get('reading'), c.get('viewerId'), 'following', c.get('params').account, page),
    ),
  )
  .get('/accounts/:account/mutuals', listRoute('mutuals'), fresh(...accountModels), maybeSignedIn, one, query(pageQuery), c =>
    answerPage(c, `mutuals of ${c.get('params').account}`, c.get('query'), page =>
      accountsOf(c.get('reading'), c.get('viewerId'), 'mutuals', c.get('params').account, page),
    ),
  )
