import * as v from 'valibot'
import { createPost, deletePost, editPost, type PostDraft, postLimits } from '../commands/posts.ts'
import { pageQuery } from '../kernel/cursor.ts'
import { carry, json } from '../kernel/http/answer.ts'
import { describe } from '../kernel/http/describe.ts'
import { routes } from '../kernel/http/env.ts'
import { ifMatch, withEtag } from '../kernel/http/headers.ts'
import { example, listOf, model } from '../kernel/http/schema.ts'
import { body, params, query } from '../kernel/http/validate.ts'
import { postModels, postsOf, postView, postViews } from '../reading/posts.ts'
import { mustKnowAccount, ruleModels } from '../reading/rules.ts'
import { type AppEnv, acknowledge, present } from './env.ts'
import { answerPage } from './lists.ts'
import { mediaEntries } from './media.ts'
import { creation, fresh, maybeSignedIn, signedIn } from './middleware.ts'
import { AccountItem, AccountRef, Gone, Id, ids, Time, Words } from './schemas.ts'

const kinds = ['public', 'followers', 'close_friends'] as const

/** A post, as everything answers it that shows posts. */
export const Post = model(
  'Post',
  v.object({
    id: Id,
    author: AccountItem,
    media: v.array(v.object({ ...mediaEntries, altText: example(v.nullable(v.string()), 'A pier before sunrise') })),
    caption: example(v.nullable(v.string()), 'First light with @ben #dawn'),
    hashtags: example(v.array(v.string()), ['dawn']),
    mentions: v.array(AccountItem),
    location: v.nullable(
      v.object({ name: example(v.string(), 'West Pier'), lat: example(v.number(), 50.82), lng: example(v.number(), -0.15) }),
    ),
    audience: v.pipe(
      v.union([v.picklist([...kinds, 'accounts']), v.object({ accountIds: v.array(Id) })]),
      v.description('Named accounts are told to the author alone; to these the audience is `accounts`'),
    ),
    createdAt: Time,
    editedAt: example(v.nullable(Time), null),
    counts: v.object({
      likes: example(v.number(), 12),
      comments: example(v.pipe(v.number(), v.description('With replies')), 3),
    }),
    viewer: v.object({ liked: v.boolean(), canComment: v.boolean(), canEdit: v.boolean(), canDelete: v.boolean() }),
  }),
)

const Caption = example(Words, 'First light with @ben #dawn')
const AltText = example(
  v.pipe(
    v.string(),
    v.maxCodePoints(postLimits.altText),
    v.description(`What the picture shows, up to ${postLimits.altText} characters`),
    v.transform(text => (text.trim() === '' ? null : text)),
  ),
  'A pier before sunrise',
)
const Location = v.strictObject({
  name: example(v.pipe(v.string(), v.trim(), v.nonEmpty(), v.maxCodePoints(postLimits.placeName)), 'West Pier'),
  lat: example(v.pipe(v.number(), v.minValue(-90), v.maxValue(90)), 50.82),
  lng: example(v.pipe(v.number(), v.minValue(-180), v.maxValue(180)), -0.15),
})
const AudienceInput = v.pipe(
  v.union([
    v.picklist(kinds),
    v.strictObject({ accountIds: v.pipe(v.array(Id), v.minLength(1), v.maxLength(postLimits.audienceAccounts)) }),
  ]),
  v.transform((audience): PostDraft['audience'] =>
    typeof audience === 'string' ? { kind: audience } : { kind: 'accounts', ...audience },
  ),
)
const WhoComments = v.picklist(['everyone', 'followers', 'off'])

/** Says that no picture is named twice. */
const distinct = <Picture extends { id: string }>() =>
  v.check<Picture[], string>(media => new Set(media.map(({ id }) => id)).size === media.length, 'must not hold a picture twice')

const NewPost = model(
  'NewPost',
  v.strictObject({
    media: v.pipe(
      v.array(v.strictObject({ id: Id, altText: v.optional(v.nullable(AltText), null) })),
      v.minLength(1),
      v.maxLength(postLimits.media),
      distinct(),
    ),
    caption: v.optional(v.nullable(Caption), null),
    location: v.optional(v.nullable(Location), null),
    audience: v.optional(AudienceInput, 'public'),
    comments: v.optional(WhoComments, 'everyone'),
  }),
)

const PostChanges = model(
  'PostChanges',
  v.strictObject({
    media: v.optional(
      v.pipe(
        v.array(v.strictObject({ id: Id, altText: v.nullable(AltText) })),
        v.maxLength(postLimits.media),
        distinct(),
        v.description('Alt texts of the pictures that are named; which pictures the post has cannot be changed'),
      ),
    ),
    caption: v.optional(v.nullable(Caption)),
    location: v.optional(v.nullable(Location)),
    audience: v.optional(AudienceInput),
    comments: v.optional(WhoComments),
  }),
)

const tag = 'Posts'
const one = params({ id: Id })

/** Posts. */
export const postsRoutes = routes<AppEnv>()
  .post(
    '/posts',
    describe('Publish a post', {
      tag,
      description: 'Of 1 to 20 of your uploads, each in one post only.',
      responses: { 201: { schema: Post, headers: { Location: 'Its path', ETag: 'Its version' } } },
      problems: ['media_not_found', 'media_in_use', 'idempotency_key_reused'],
    }),
    fresh(...ruleModels),
    signedIn,
    body(NewPost),
    async c => {
      const made = creation<'post'>(c, c.get('body'))
      const position = await createPost(c.get('commands'), c.get('actor'), made, c.get('body'))
      await present(c, position, postModels)
      const { view, revision } = await postView(c.get('reading'), c.get('actor').id, made.id)
      carry(c, { Location: `/v1/posts/${made.id}` })
      return withEtag(c, view, revision, 201)
    },
  )
  .get(
    '/posts',
    describe('Several posts by their ids', {
      tag,
      description: 'In the order of the ids; what you may not see is left out.',
      auth: 'optional',
      responses: { 200: v.object({ items: v.array(Post), nextCursor: v.null() }) },
    }),
    fresh(...postModels),
    maybeSignedIn,
    query({ ids }),
    async c => {
      const found = await postViews(c.get('reading'), c.get('viewerId'), c.get('query').ids)
      const items = [...new Set(c.get('query').ids)].flatMap(id => found.get(id) ?? [])
      return json(c, { items, nextCursor: null })
    },
  )
  .get(
    '/posts/:id',
    describe('A post', { tag, auth: 'optional', responses: { 200: Post }, etag: true }),
    fresh(...postModels),
    maybeSignedIn,
    one,
    async c => {
      const { view, revision } = await postView(c.get('reading'), c.get('viewerId'), c.get('params').id)
      return withEtag(c, view, revision)
    },
  )
  .patch(
    '/posts/:id',
    describe('Change your post', {
      tag,
      description:
        'A merge patch: what is absent stays, null clears. A narrower audience is in effect everywhere when this answers.',
      responses: { 200: Post },
      problems: ['forbidden', 'version_conflict', 'read_model_behind'],
      etag: true,
    }),
    fresh(...ruleModels),
    signedIn,
    one,
    body(PostChanges),
    async c => {
      const { media, ...changes } = c.get('body')
      const { id } = c.get('params')
      const position = await editPost(c.get('commands'), c.get('actor'), id, { ...changes, altTexts: media }, ifMatch(c))
      await present(c, position, postModels)
      const { view, revision } = await postView(c.get('reading'), c.get('actor').id, id)
      return withEtag(c, view, revision)
    },
  )
  .delete(
    '/posts/:id',
    describe('Delete your post', {
      tag,
      description: 'With its pictures, likes and comments. Gone for everybody when this answers; a repeat answers the same.',
      responses: { 200: Gone },
      problems: ['forbidden', 'read_model_behind'],
    }),
    fresh(...ruleModels),
    signedIn,
    one,
    async c => {
      const { id } = c.get('params')
      acknowledge(c, await deletePost(c.get('commands'), c.get('actor'), id))
      return json(c, { id })
    },
  )
  .get(
    '/accounts/:account/posts',
    describe('An account’s posts', {
      tag,
      description: 'Newest first: those that you may see.',
      auth: 'optional',
      responses: { 200: listOf(Post) },
      problems: ['cursor_invalid'],
    }),
    fresh(...postModels),
    maybeSignedIn,
    params({ account: AccountRef }),
    query(pageQuery),
    async c => {
      const author = await mustKnowAccount(c.get('reading'), c.get('viewerId'), c.get('params').account)
      return answerPage(c, `posts of ${author.id}`, c.get('query'), page =>
        postsOf(c.get('reading'), c.get('viewerId'), author, page),
      )
    },
  )
