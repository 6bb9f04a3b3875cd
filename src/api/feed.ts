import * as v from 'valibot'
import { pageQuery } from '../kernel/cursor.ts'
import { describe } from '../kernel/http/describe.ts'
import { routes } from '../kernel/http/env.ts'
import { listOf, model } from '../kernel/http/schema.ts'
import { query } from '../kernel/http/validate.ts'
import { feedModels, feedPage } from '../reading/feed.ts'
import type { AppEnv } from './env.ts'
import { answerPage } from './lists.ts'
import { fresh, signedIn } from './middleware.ts'
import { Post } from './posts.ts'

const FeedItem = model(
  'FeedItem',
  v.object({ kind: v.pipe(v.literal('post'), v.description('Others may come: skip what you do not know')), ...Post.entries }),
)

/** The home feed. */
export const feedRoutes = routes<AppEnv>().get(
  '/feed',
  describe('Your home feed', {
    tag: 'Feed',
    description: 'Your own posts and those of the accounts that you follow, newest first. A new follow brings older posts.',
    responses: { 200: listOf(FeedItem) },
    problems: ['cursor_invalid'],
  }),
  fresh(...feedModels),
  signedIn,
  query({ ...pageQuery, order: v.optional(v.picklist(['chronological']), 'chronological') }),
  c => answerPage(c, `feed of ${c.get('actor').id}`, c.get('query'), page => feedPage(c.get('reading'), c.get('actor').id, page)),
)
