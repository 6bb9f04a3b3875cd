import * as v from 'valibot'
import { addComment, deleteComment, editComment } from '../commands/comments.ts'
import { pageQuery } from '../kernel/cursor.ts'
import { carry, json } from '../kernel/http/answer.ts'
import { describe } from '../kernel/http/describe.ts'
import { routes } from '../kernel/http/env.ts'
import { ifMatch, withEtag } from '../kernel/http/headers.ts'
import { limited } from '../kernel/http/rate-limit.ts'
import { example, listOf, model } from '../kernel/http/schema.ts'
import { body, params, query } from '../kernel/http/validate.ts'
import { invalid } from '../kernel/problem.ts'
import { commentModels, commentsAround, commentsOf, commentView, repliesTo } from '../reading/comments.ts'
import { type AppEnv, acknowledge, present } from './env.ts'
import { answerPage } from './lists.ts'
import { creation, fresh, maybeSignedIn, signedIn } from './middleware.ts'
import { AccountItem, Gone, Id, Time, Words } from './schemas.ts'

const Text = example(v.pipe(Words, v.regex(/\S/, 'must hold more than white space')), 'What light!')

const Comment = model(
  'Comment',
  v.object({
    id: Id,
    postId: Id,
    parentId: example(v.pipe(v.nullable(Id), v.description('The comment that it is a reply to')), null),
    author: AccountItem,
    text: example(v.string(), 'What light!'),
    mentions: v.array(AccountItem),
    createdAt: Time,
    editedAt: example(v.nullable(Time), null),
    counts: v.object({ likes: example(v.number(), 5), replies: example(v.number(), 1) }),
    viewer: v.object({ liked: v.boolean(), canEdit: v.boolean(), canDelete: v.boolean() }),
  }),
)

const NewComment = model(
  'NewComment',
  v.strictObject({ text: Text, parentId: v.optional(v.nullable(example(Id, '5f0c7a1e-3b9d-4c62-8a4e-0d1f2c3b4a59')), null) }),
)
const CommentChanges = model('CommentChanges', v.strictObject({ text: v.optional(Text) }))

const tag = 'Comments'
const one = params({ id: Id })
const known = fresh(...commentModels)

/** Comments on posts and the replies to them. */
export const commentsRoutes = routes<AppEnv>()
  .get(
    '/posts/:id/comments',
    describe('The comments on a post', {
      tag,
      description:
        'Without replies, newest first. `around` gives the page that holds that comment, or the one that it is a reply to.',
      auth: 'optional',
      responses: { 200: listOf(Comment) },
      problems: ['cursor_invalid'],
    }),
    known,
    maybeSignedIn,
    one,
    query({ ...pageQuery, around: v.optional(v.pipe(Id, v.description('A comment’s id'))) }),
    c => {
      const { id } = c.get('params')
      const { around, ...asked } = c.get('query')
      if (around !== undefined && asked.cursor !== undefined) throw invalid('/around', 'cannot stand beside a cursor')
      return answerPage(c, `comments on ${id}`, asked, page =>
        around === undefined
          ? commentsOf(c.get('reading'), c.get('viewerId'), id, page)
          : commentsAround(c.get('reading'), c.get('viewerId'), id, around, page.limit),
      )
    },
  )
  .post(
    '/posts/:id/comments',
    describe('Comment on a post', {
      tag,
      description: 'A reply to a reply stands under the same comment as that.',
      responses: { 201: { schema: Comment, headers: { Location: 'Its path', ETag: 'Its version' } } },
      problems: ['forbidden'],
    }),
    known,
    signedIn,
    limited('comment'),
    one,
    body(NewComment),
    async c => {
      const made = creation<'comment'>(c, c.get('body'))
      const position = await addComment(c.get('commands'), c.get('actor'), made, c.get('params').id, c.get('body'))
      await present(c, position, commentModels)
      const { view, revision } = await commentView(c.get('reading'), c.get('actor').id, made.id)
      carry(c, { Location: `/v1/comments/${made.id}` })
      return withEtag(c, view, revision, 201)
    },
  )
  .get(
    '/comments/:id',
    describe('A comment', { tag, auth: 'optional', responses: { 200: Comment }, etag: true }),
    known,
    maybeSignedIn,
    one,
    async c => {
      const { view, revision } = await commentView(c.get('reading'), c.get('viewerId'), c.get('params').id)
      return withEtag(c, view, revision)
    },
  )
  .patch(
    '/comments/:id',
    describe('Change your comment', { tag, responses: { 200: Comment }, problems: ['forbidden'], etag: true }),
    known,
    signedIn,
    one,
    body(CommentChanges),
    async c => {
      const { id } = c.get('params')
      const position = await editComment(c.get('commands'), c.get('actor'), id, c.get('body'), ifMatch(c))
      await present(c, position, commentModels)
      const { view, revision } = await commentView(c.get('reading'), c.get('actor').id, id)
      return withEtag(c, view, revision)
    },
  )
  .delete(
    '/comments/:id',
    describe('Delete a comment', {
      tag,
      description:
        'Yours, or any under your post. Its replies go with it. Gone for everybody when this answers; a repeat answers the same.',
      responses: { 200: Gone },
      problems: ['forbidden', 'read_model_behind'],
    }),
    known,
    signedIn,
    one,
    async c => {
      const { id } = c.get('params')
      acknowledge(c, await deleteComment(c.get('commands'), c.get('actor'), id))
      return json(c, { id })
    },
  )
  .get(
    '/comments/:id/replies',
    describe('The replies to a comment', {
      tag,
      description: 'Oldest first.',
      auth: 'optional',
      responses: { 200: listOf(Comment) },
      problems: ['cursor_invalid'],
    }),
    known,
    maybeSignedIn,
    one,
    query(pageQuery),
    c =>
      answerPage(c, `replies to ${c.get('params').id}`, c.get('query'), page =>
        repliesTo(c.get('reading'), c.get('viewerId'), c.get('params').id, page),
      ),
  )
