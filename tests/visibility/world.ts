import { expect } from 'vitest'
import type { Person, TestApp } from '../support/app.ts'
import { Eye } from './probes.ts'

export const audiences = ['public', 'followers', 'close_friends', 'accounts'] as const
export type Audience = (typeof audiences)[number]
export type AccountType = 'personal' | 'private'

/** One post and all that hangs on it. */
export type Thing = {
  readonly audience: Audience
  readonly author: Person
  /** Follows the author and is followed by them, and by whoever looks. */
  readonly friend: Person
  readonly avatarUrl: string
  readonly post: string
  readonly mediaId: string
  readonly comment: string
  readonly reply: string
  /** Words that stand in it alone. */
  readonly secrets: readonly string[]
}

export const ok = async (answer: Promise<{ status: number; body: unknown }>): Promise<void> => {
  const { status, body } = await answer
  expect(status, JSON.stringify(body)).toBeLessThan(300)
}

/** Somebody with a picture of themself and a friend. */
export async function signUpAuthor(app: TestApp): Promise<Pick<Thing, 'author' | 'friend' | 'avatarUrl'>> {
  const [author, friend] = [await app.signUp(), await app.signUp()]
  await friend.follow(author)
  await author.follow(friend)
  const { id } = await author.upload()
  const { body } = await author.put('/me/avatar', { mediaId: id })
  return { author, friend, avatarUrl: body.avatarUrl }
}

/** A post with a picture, which mentions all who will look, and which its author likes, comments on and replies to. */
export async function publish(
  { author, friend, avatarUrl }: Pick<Thing, 'author' | 'friend' | 'avatarUrl'>,
  audience: Audience,
  viewers: readonly Person[],
  named: readonly Person[],
): Promise<Thing> {
  const word = `hidden${Math.random().toString(36).slice(2)}`
  const post = await author.publish({
    caption: `${word} #${word} ${viewers.map(({ username }) => `@${username}`).join(' ')}`,
    audience: audience === 'accounts' ? { accountIds: named.map(({ id }) => id) } : audience,
  })
  const comment = await author.post(`/posts/${post.id}/comments`, { text: `${word} comment` })
  const reply = await author.post(`/posts/${post.id}/comments`, { text: `${word} reply`, parentId: comment.body.id })
  await ok(author.put(`/posts/${post.id}/like`))
  const [mediaId, ids] = [post.media[0].id, { post: post.id, comment: comment.body.id, reply: reply.body.id }]
  return { audience, author, friend, avatarUrl, mediaId, ...ids, secrets: [word, mediaId, ...Object.values(ids)] }
}

/** Does what leaves traces where the viewer may: likes the posts and keeps the pictures' URLs. */
export async function look(eye: Eye, viewer: Person | null, things: readonly Thing[], token: string | null): Promise<void> {
  for (const { post } of things) {
    const { status, body } = await eye.get(`/posts/${post}`)
    if (status !== 200) continue
    const renditions = (body as { media: { renditions: { name: string; url: string }[] }[] }).media[0]!.renditions
    eye.pictures.set(post, renditions.find(({ name }) => name === 'full')!.url)
    if (viewer !== null) await ok(viewer.put(`/posts/${post}/like`, undefined, { after: token }))
  }
  eye.told()
}

export type World = {
  readonly things: readonly Thing[]
  /** By the names of the oracle. */
  readonly eyes: ReadonlyMap<string, Eye>
}

const follow = [
  'follower',
  'removed follower',
  'unfollowed',
  'close friend',
  'removed close friend',
  'named follower',
  'blocked',
  'blocking',
  'erased',
]
const closeFriends = ['removed follower', 'unfollowed', 'close friend', 'removed close friend', 'blocked', 'blocking', 'erased']
const named = ['removed follower', 'unfollowed', 'named', 'named follower', 'blocked', 'blocking', 'erased']

/**
 * An author of one type with a post for each audience, and everybody who can stand in some relation to them. All that is taken away was there before:
 * who is blocked now, or removed, has seen and liked all four posts.
 */
export async function buildWorld(app: TestApp, type: AccountType, names: readonly string[]): Promise<World> {
  const people = await signUpAuthor(app)
  const { author, friend } = people
  const viewers = new Map<string, Person>()
  for (const name of names) {
    if (name === 'signed out') continue
    const viewer = name === 'author' ? author : await app.signUp()
    viewers.set(name, viewer)
    if (viewer !== author) await viewer.follow(friend)
  }
  const of = (list: readonly string[]): Person[] => list.flatMap(name => viewers.get(name) ?? [])
  for (const viewer of of(follow)) await viewer.follow(author)
  const last = friend.token
  for (const { id, token } of of(closeFriends))
    await ok(author.put(`/accounts/${id}/close-friend`, undefined, { after: token ?? last }))
  await ok(author.put('/me/account-type', { type }))
  for (const viewer of of(['requested'])) {
    expect((await viewer.follow(author)).state).toBe('requested')
  }
  const things: Thing[] = []
  for (const audience of audiences)
    things.push(
      await publish(
        people,
        audience,
        [...viewers.values()].filter(each => each !== author),
        of(named),
      ),
    )

  let token = author.token
  const eyes = new Map<string, Eye>()
  for (const name of names) {
    const viewer = viewers.get(name) ?? null
    const headers: Record<string, string> = viewer === null ? {} : { Authorization: `Bearer ${viewer.session.accessToken}` }
    const eye = new Eye(name, (path, node = app) => node.get(path, { after: token, headers }))
    eyes.set(name, eye)
    await look(eye, viewer, things, token)
  }

  for (const { id } of of(['removed follower'])) await ok(author.delete(`/me/followers/${id}`))
  for (const viewer of of(['unfollowed'])) await ok(viewer.delete(`/accounts/${author.id}/follow`))
  for (const { id } of of(['removed close friend'])) await ok(author.delete(`/accounts/${id}/close-friend`))
  for (const { id } of of(['blocked'])) await ok(author.put(`/accounts/${id}/block`))
  for (const viewer of of(['blocking'])) await ok(viewer.put(`/accounts/${author.id}/block`))
  for (const viewer of of(['erased'])) await ok(viewer.post('/me/erasure', { password: viewer.password }))
  await ok(author.patch('/me', { bio: 'The last word' }))
  token = author.token
  return { things, eyes }
}
