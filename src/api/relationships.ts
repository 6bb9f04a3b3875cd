import * as v from 'valibot'
import { type Relating, relate } from '../commands/relationships.ts'
import { pageQuery } from '../kernel/cursor.ts'
import { json } from '../kernel/http/answer.ts'
import { describe } from '../kernel/http/describe.ts'
import { routes } from '../kernel/http/env.ts'
import { limited } from '../kernel/http/rate-limit.ts'
import { listOf, model } from '../kernel/http/schema.ts'
import { params, query } from '../kernel/http/validate.ts'
import { accountModels } from '../reading/accounts.ts'
import { countsAfter, ownAccounts } from '../reading/relationships.ts'
import { type AppEnv, acknowledge, type Ctx } from './env.ts'
import { answerPage } from './lists.ts'
import { fresh, signedIn } from './middleware.ts'
import { AccountCounts, AccountItem, AccountRef, AccountViewer, Id } from './schemas.ts'

const Relationship = model('Relationship', v.object({ id: Id, viewer: AccountViewer, counts: AccountCounts }))
const FollowState = model(
  'FollowState',
  v.object({
    id: Id,
    viewer: AccountViewer,
    counts: AccountCounts,
    state: v.picklist(['following', 'requested', 'none']),
  }),
)

/** Decides, and answers how it stands with the account after it: the viewer's side as decided, the counts with it. */
async function related(c: Ctx, type: Relating, ref: string) {
  const { otherId, viewer, position } = await relate(c.get('commands'), c.get('actor'), type, ref)
  const counts = await countsAfter(c.get('reading'), c.get('actor').id, otherId, viewer)
  acknowledge(c, position)
  return { id: otherId, viewer, counts }
}

async function followed(c: Ctx, type: 'Follow' | 'Unfollow', ref: string) {
  const after = await related(c, type, ref)
  const { follows, requested } = after.viewer
  return { ...after, state: follows ? 'following' : requested ? 'requested' : 'none' }
}

const tag = 'Relations'
const toggle = (summary: string, description?: string) =>
  describe(summary, {
    tag,
    ...(description === undefined ? {} : { description }),
    responses: { 200: Relationship },
    problems: ['validation_failed', 'read_model_behind'],
  })
const followToggle = (summary: string, description: string) =>
  describe(summary, { tag, description, responses: { 200: FollowState }, problems: ['validation_failed', 'read_model_behind'] })
const list = (summary: string) =>
  describe(summary, { tag, description: 'Newest first.', responses: { 200: listOf(AccountItem) }, problems: ['cursor_invalid'] })

const other = params({ account: AccountRef })
const known = fresh(...accountModels)

/** Who follows, blocks and trusts whom. */
export const relationshipsRoutes = routes<AppEnv>()
  .put(
    '/accounts/:account/follow',
    followToggle('Follow an account', 'A private one is asked first: the state is then `requested`.'),
    known,
    signedIn,
    limited('follow'),
    other,
    async c => json(c, await followed(c, 'Follow', c.get('params').account)),
  )
  .delete(
    '/accounts/:account/follow',
    followToggle('Unfollow an account', 'Takes a request back too.'),
    known,
    signedIn,
    other,
    async c => json(c, await followed(c, 'Unfollow', c.get('params').account)),
  )
  .get('/me/follow-requests', list('Who asks to follow you'), known, signedIn, query(pageQuery), c =>
    answerPage(c, `follow requests of ${c.get('actor').id}`, c.get('query'), page =>
      ownAccounts(c.get('reading'), c.get('actor').id, 'requests', page),
    ),
  )
  .put('/me/follow-requests/:account', toggle('Accept a follow request'), known, signedIn, other, async c =>
    json(c, await related(c, 'AcceptRequest', c.get('params').account)),
  )
  .delete('/me/follow-requests/:account', toggle('Refuse a follow request'), known, signedIn, other, async c =>
    json(c, await related(c, 'RefuseRequest', c.get('params').account)),
  )
  .delete(
    '/me/followers/:account',
    toggle('Remove a follower', 'They are not told. What they could see as a follower is gone for them at once.'),
    known,
    signedIn,
    other,
    async c => json(c, await related(c, 'RemoveFollower', c.get('params').account)),
  )
  .put(
    '/accounts/:account/block',
    toggle('Block an account', 'Ends all follows and requests between you. For them you do not exist any more.'),
    known,
    signedIn,
    other,
    async c => json(c, await related(c, 'Block', c.get('params').account)),
  )
  .delete('/accounts/:account/block', toggle('Unblock an account'), known, signedIn, other, async c =>
    json(c, await related(c, 'Unblock', c.get('params').account)),
  )
  .get('/me/blocks', list('Whom you block'), known, signedIn, query(pageQuery), c =>
    answerPage(c, `blocks of ${c.get('actor').id}`, c.get('query'), page =>
      ownAccounts(c.get('reading'), c.get('actor').id, 'blocks', page),
    ),
  )
  .put(
    '/accounts/:account/close-friend',
    toggle('Count a follower among your close friends', 'They are not told, and it ends when they follow you no more.'),
    known,
    signedIn,
    other,
    async c => json(c, await related(c, 'AddCloseFriend', c.get('params').account)),
  )
  .delete('/accounts/:account/close-friend', toggle('Remove a close friend'), known, signedIn, other, async c =>
    json(c, await related(c, 'RemoveCloseFriend', c.get('params').account)),
  )
  .get('/me/close-friends', list('Your close friends'), known, signedIn, query(pageQuery), c =>
    answerPage(c, `close friends of ${c.get('actor').id}`, c.get('query'), page =>
      ownAccounts(c.get('reading'), c.get('actor').id, 'closeFriends', page),
    ),
  )
