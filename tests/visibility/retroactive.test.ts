import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sql } from '../../src/kernel/sql.ts'
import { accountsModel } from '../../src/projections/accounts/project.ts'
import { postsModel } from '../../src/projections/posts/project.ts'
import { relationshipsModel } from '../../src/projections/relationships/project.ts'
import { sessionsModel } from '../../src/projections/sessions/project.ts'
import { type Person, type TestApp, testApp } from '../support/app.ts'
import { type Row, wantedOf } from './oracle.ts'
import { Eye, seenBy } from './probes.ts'
import { type Audience, audiences, look, ok, publish, signUpAuthor, type Thing } from './world.ts'

/** One node takes the commands, the other is asked, without any consistency token: what is taken away is taken away everywhere at once. */
let node: TestApp
let other: TestApp

beforeAll(async () => {
  node = await testApp()
  other = await testApp(node)
})
afterAll(async () => {
  await other.stop()
  await node.stop()
})

type Case = {
  readonly audience: Audience
  /** What the viewer is to the author. */
  readonly is: 'stranger' | 'follower' | 'close friend'
  readonly before: Omit<Row, 'viewer'>
  readonly after: Omit<Row, 'viewer'>
  act(author: Person, viewer: Person, thing: Thing): Promise<{ status: number; body: unknown }>
}

/** @param seen y or - for profile, lists, the post, the feed */
const sees = (seen: string): Omit<Row, 'viewer'> => {
  const [profile, lists, post, feed] = [...seen].map(each => each === 'y')
  const all = (yes: boolean | undefined) => (yes ? 'y' : '-').repeat(audiences.length)
  return { profile: profile!, lists: lists!, posts: all(post), feed: all(feed) }
}

const cases: Record<string, Case> = {
  'going private': {
    audience: 'public',
    is: 'stranger',
    before: sees('yyy-'),
    after: sees('y---'),
    act: author => author.put('/me/account-type', { type: 'private' }),
  },
  'the author blocks': {
    audience: 'public',
    is: 'close friend',
    before: sees('yyyy'),
    after: sees('----'),
    act: (author, viewer) => author.put(`/accounts/${viewer.id}/block`),
  },
  'the viewer blocks': {
    audience: 'public',
    is: 'close friend',
    before: sees('yyyy'),
    after: sees('y---'),
    act: (author, viewer) => viewer.put(`/accounts/${author.id}/block`),
  },
  'a follower is removed': {
    audience: 'followers',
    is: 'follower',
    before: sees('yyyy'),
    after: sees('yy--'),
    act: (author, viewer) => author.delete(`/me/followers/${viewer.id}`),
  },
  'a follower is removed who was a close friend': {
    audience: 'close_friends',
    is: 'close friend',
    before: sees('yyyy'),
    after: sees('yy--'),
    act: (author, viewer) => author.delete(`/me/followers/${viewer.id}`),
  },
  'the viewer unfollows': {
    audience: 'followers',
    is: 'follower',
    before: sees('yyyy'),
    after: sees('yy--'),
    act: (author, viewer) => viewer.delete(`/accounts/${author.id}/follow`),
  },
  'a close friend is removed': {
    audience: 'close_friends',
    is: 'close friend',
    before: sees('yyyy'),
    after: sees('yy--'),
    act: (author, viewer) => author.delete(`/accounts/${viewer.id}/close-friend`),
  },
  'the audience is narrowed to followers': {
    audience: 'public',
    is: 'stranger',
    before: sees('yyy-'),
    after: sees('yy--'),
    act: (author, _, { post }) => author.patch(`/posts/${post}`, { audience: 'followers' }),
  },
  'the audience is narrowed to close friends': {
    audience: 'followers',
    is: 'follower',
    before: sees('yyyy'),
    after: sees('yy--'),
    act: (author, _, { post }) => author.patch(`/posts/${post}`, { audience: 'close_friends' }),
  },
  'the audience is narrowed to others': {
    audience: 'accounts',
    is: 'follower',
    before: sees('yyyy'),
    after: sees('yy--'),
    act: (author, _, { post, friend }) => author.patch(`/posts/${post}`, { audience: { accountIds: [friend.id] } }),
  },
  'the post is deleted': {
    audience: 'public',
    is: 'follower',
    before: sees('yyyy'),
    after: sees('yy--'),
    act: (author, _, { post }) => author.delete(`/posts/${post}`),
  },
  'the author is erased': {
    audience: 'public',
    is: 'close friend',
    before: sees('yyyy'),
    after: sees('----'),
    act: author => author.post('/me/erasure', { password: author.password }),
  },
  'the viewer is erased': {
    audience: 'public',
    is: 'close friend',
    before: sees('yyyy'),
    after: sees('----'),
    act: (_, viewer) => viewer.post('/me/erasure', { password: viewer.password }),
  },
}

describe('nothing is shown any more once it is answered that', () => {
  it.each(Object.entries(cases))('%s', async (name, { audience, is, before, after, act }) => {
    const people = await signUpAuthor(node)
    const { author, friend } = people
    const viewer = await node.signUp()
    await viewer.follow(friend)
    if (is !== 'stranger') await viewer.follow(author)
    if (is === 'close friend') await ok(author.put(`/accounts/${viewer.id}/close-friend`, undefined, { after: viewer.token }))
    const thing = await publish(people, audience, [viewer], [viewer])
    const headers = { Authorization: `Bearer ${viewer.session.accessToken}` }
    // What the viewer did last is their like of it.
    const now = new Eye('now', (path, at = node) => at.get(path, { after: [author.token, viewer.token].join(), headers }))
    await look(now, viewer, [thing], author.token)
    // Both nodes keep what they show.
    for (const eye of [now, now.at(other)])
      expect(await seenBy(eye, [thing])).toEqual(firstOf(wantedOf({ viewer: 'viewer', ...before }, [thing])))

    const url = now.pictures.get(thing.post)!
    expect((await other.get(url)).status).toBe(200)
    await ok(act(author, viewer, thing))
    const unheard = new Eye('later', (path, at = other) => at.get(path, path.startsWith('http') ? {} : { headers }))
    unheard.pictures.set(thing.post, url)
    const wanted = firstOf(wantedOf({ viewer: name === 'the viewer blocks' ? 'blocking' : 'viewer', ...after }, [thing]))
    if (name === 'the author is erased') wanted['/v1/avatars/{id}/{file}'] = '-'
    for (const later of [unheard, unheard.at(node)]) {
      expect(await seenBy(later, [thing])).toEqual(wanted)
      const told = later.told()
      for (const secret of thing.secrets) expect(told).not.toContain(secret)
      if (!after.profile) for (const secret of [author.id, author.username]) expect(told).not.toContain(secret)
    }
  })

  it('a session is ended', async () => {
    const viewer = await node.signUp()
    const headers = { Authorization: `Bearer ${viewer.session.accessToken}` }
    expect((await other.get('/me', { headers, after: viewer.token })).status).toBe(200)
    await ok(viewer.delete(`/sessions/${viewer.session.id}`))
    for (const path of ['/me', '/feed', '/notifications', `/accounts/${viewer.id}`]) {
      expect((await other.get(path, { headers })).body.code, path).toBe('session_revoked')
    }
  })
})

describe('while what the rules read stands still', () => {
  it('no command that takes a right away is acknowledged, and a repeat finishes it', async () => {
    const { author } = await signUpAuthor(node)
    const [removed, close, blocked, left] = [await node.signUp(), await node.signUp(), await node.signUp(), await node.signUp()]
    for (const each of [removed, close]) await each.follow(author)
    await author.follow(left)
    await ok(author.put(`/accounts/${close.id}/close-friend`, undefined, { after: close.token }))
    const [edited, deleted] = [await author.publish(), await author.publish()]
    const second = await node.post('/sessions', { login: author.username, password: author.password })
    const commands: [string, string, unknown?][] = [
      ['DELETE', `/me/followers/${removed.id}`],
      ['DELETE', `/accounts/${close.id}/close-friend`],
      ['PUT', `/accounts/${blocked.id}/block`],
      ['DELETE', `/accounts/${left.id}/follow`],
      ['PATCH', `/posts/${edited.id}`, { audience: 'followers' }],
      ['DELETE', `/posts/${deleted.id}`],
      ['PUT', '/me/account-type', { type: 'private' }],
      ['DELETE', `/sessions/${second.body.session.id}`],
    ]
    const all = () => Promise.all(commands.map(([method, path, body]) => author.send(method, path, { body })))
    const { follows, blocks, close_friends: closeFriends } = relationshipsModel.t
    const { posts, accounts, sessions } = { ...postsModel.t, ...accountsModel.t, ...sessionsModel.t }
    const tables = sql.join([follows, blocks, closeFriends, posts, accounts, sessions])
    const stuck = await node.app.db.transaction(async tx => {
      await tx.run(sql`lock table ${tables} in exclusive mode`)
      return all()
    })
    expect(stuck.map(({ body }) => body?.code)).toEqual(commands.map(() => 'read_model_behind'))
    for (const { status, headers } of stuck) expect([status, headers.get('retry-after')]).toEqual([503, '1'])
    for (const { status, body } of await all()) expect([200, 204], JSON.stringify(body)).toContain(status)
    for (const viewer of [removed, close, blocked]) {
      const headers = { Authorization: `Bearer ${viewer.session.accessToken}` }
      for (const { id } of [edited, deleted]) {
        expect((await other.get(`/posts/${id}`, { headers })).status).toBe(viewer === close && id === edited.id ? 200 : 404)
      }
    }
  }, 30_000)
})

const firstOf = (wanted: Record<string, string>) =>
  Object.fromEntries(Object.entries(wanted).map(([path, all]) => [path, all[0]]))
