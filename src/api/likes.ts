import * as v from 'valibot'
import { toggleCommentLike, togglePostLike } from '../commands/likes.ts'
import { pageQuery } from '../kernel/cursor.ts'
import { json } from '../kernel/http/answer.ts'
import { describe } from '../kernel/http/describe.ts'
import { routes } from '../kernel/http/env.ts'
import { example, listOf, model } from '../kernel/http/schema.ts'
import { params, query } from '../kernel/http/validate.ts'
import { likedPosts, likeModels, likers } from '../reading/likes.ts'
import { postModels } from '../reading/posts.ts'
import { type AppEnv, acknowledge, type Ctx } from './env.ts'
import { answerPage } from './lists.ts'
import { fresh, maybeSignedIn, signedIn } from './middleware.ts'
import { Post } from './posts.ts'
import { AccountItem, Id } from './schemas.ts'

const viewer = v.object({ liked: example(v.boolean(), true) })
const PostLike = model(
  'PostLike',
  v.object({ id: Id, viewer, counts: v.object({ likes: example(v.number(), 42), comments: example(v.number(), 3) }) }),
)
const CommentLike = model(
  'CommentLike',
  v.object({ id: Id, viewer, counts: v.object({ likes: example(v.number(), 5), replies: example(v.number(), 1) }) }),
)

const tag = 'Likes'
const toggle = (summary: string, after: v.GenericSchema) => describe(summary, { tag, responses: { 200: after } })
const subject = params({ id: Id })
const known = fresh(...likeModels)

/** Decides, and answers at once: no model is waited for. The likes of all others as they are known, and this one as it was decided. */
async function post(c: Ctx, type: 'Like' | 'Unlike', id: string) {
  const { state, position, counts } = await togglePostLike(c.get('commands'), c.get('actor'), type, id)
  acknowledge(c, position)
  return { id, viewer: { liked: state.liked }, counts: { likes: counts.others + Number(state.liked), comments: counts.below } }
}

async function comment(c: Ctx, type: 'Like' | 'Unlike', id: string) {
  const { state, position, counts } = await toggleCommentLike(c.get('commands'), c.get('actor'), type, id)
  acknowledge(c, position)
  return { id, viewer: { liked: state.liked }, counts: { likes: counts.others + Number(state.liked), replies: counts.below } }
}

/** Likes of posts and comments. */
export const likesRoutes = routes<AppEnv>()
  .put('/posts/:id/like', toggle('Like a post', PostLike), known, signedIn, subject, async c =>
    json(c, await post(c, 'Like', c.get('params').id)),
  )
  .delete('/posts/:id/like', toggle('Take back the like of a post', PostLike), known, signedIn, subject, async c =>
    json(c, await post(c, 'Unlike', c.get('params').id)),
  )
  .put('/comments/:id/like', toggle('Like a comment', CommentLike), known, signedIn, subject, async c =>
    json(c, await comment(c, 'Like', c.get('params').id)),
  )
  .delete('/comments/:id/like', toggle('Take back the like of a comment', CommentLike), known, signedIn, subject, async c =>
    json(c, await comment(c, 'Unlike', c.get('params').id)),
  )
  .get(
    '/posts/:id/likes',
    describe('Who likes a post', {
      tag,
      description: 'Newest first. The count is the same for all; this list leaves out whom you may not know.',
      auth: 'optional',
      responses: { 200: listOf(AccountItem) },
      problems: ['cursor_invalid'],
    }),
    known,
    maybeSignedIn,
    subject,
    query(pageQuery),
    c =>
      answerPage(c, `likes of post ${c.get('params').id}`, c.get('query'), page =>
        likers(c.get('reading'), c.get('viewerId'), c.get('params').id, page),
      ),
  )
  .get(
    '/me/likes',
    describe('The posts that you like', {
      tag,
      description: 'The newest like first, without posts that you may not see any more.',
      responses: { 200: listOf(Post) },
      problems: ['cursor_invalid'],
    }),
    fresh(...postModels),
    signedIn,
    query(pageQuery),
    c =>
      answerPage(c, `posts liked by ${c.get('actor').id}`, c.get('query'), page =>
        likedPosts(c.get('reading'), c.get('actor').id, page),
      ),
  )
