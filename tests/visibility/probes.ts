import { expect } from 'vitest'
import type { Answer, TestApp } from '../support/app.ts'
import type { Thing } from './world.ts'

/** Somebody who looks: a person, or nobody signed in. Keeps all that they were answered, to be searched for what they should not know. */
export class Eye {
  readonly name: string
  readonly #get: (path: string, node?: TestApp) => Promise<Answer<unknown>>
  /** Picture URLs that they were given while they could see them, by post. */
  readonly pictures = new Map<string, string>()
  #told = ''

  constructor(name: string, get: (path: string, node?: TestApp) => Promise<Answer<unknown>>) {
    this.name = name
    this.#get = get
  }

  async get(path: string): Promise<Answer<unknown>> {
    const answer = await this.#get(path)
    if (answer.status >= 500) throw new Error(`${path} answers ${this.name} ${answer.status}`)
    this.#told += JSON.stringify(answer.body)
    return answer
  }

  /** The same one on another node. */
  at(node: TestApp): Eye {
    const eye = new Eye(this.name, path => this.#get(path, node))
    for (const [post, url] of this.pictures) eye.pictures.set(post, url)
    return eye
  }

  /** All answers since the last call, as text. */
  told(): string {
    const told = this.#told
    this.#told = ''
    return told
  }
}

/** What decides whether a GET shows the thing: a column of the oracle, nobody, the author alone, or everybody who can ask. */
export type Shown =
  | 'profile'
  | 'lists'
  | 'mutuals'
  | 'post'
  | 'ownPost'
  | 'anyPost'
  | 'feed'
  | 'blocks'
  | 'author'
  | 'nobody'
  | 'everybody'
export type Probe = { readonly shown: Shown; readonly seen: (eye: Eye, thing: Thing) => Promise<boolean> }

const unknownId = '00000000-0000-4000-8000-000000000000'

/** Whether a single thing is answered; where it is not, it must look as if it had never been. */
async function single(eye: Eye, path: string, ids: readonly string[]): Promise<boolean> {
  const { status, body } = await eye.get(path)
  if (status === 200) return true
  if (status === 401) return false
  expect(status, path).toBe(404)
  const unknown = await eye.get(ids.reduce((other, id) => other.replace(id, unknownId), path))
  expect(body, `${path}: as if it had never been`).toEqual(unknown.body)
  return false
}

/** Whether a list holds an id; one that is not answered holds none. */
async function listed(eye: Eye, path: string, ...ids: string[]): Promise<boolean> {
  const { status, body } = await eye.get(path)
  if (status === 401 || status === 404) return false
  expect(status, `${path}: ${JSON.stringify(body)}`).toBe(200)
  const { items } = body as { items: { id: string; post?: { id: string } | null }[] }
  return ids.every(id => items.some(item => item.id === id || item.post?.id === id))
}

/** The same question asked in several ways has one answer. */
async function same(...answers: Promise<boolean>[]): Promise<boolean> {
  const [first, ...others] = await Promise.all(answers)
  for (const other of others) expect(other).toBe(first)
  return first!
}

const byName = ({ author }: Thing, rest: string, list: (path: string) => Promise<boolean>) =>
  same(...[author.id, author.username].map(ref => list(`/accounts/${ref}${rest}`)))

const accountList =
  (rest: string): Probe['seen'] =>
  (eye, thing) =>
    byName(thing, rest, path => listed(eye, path, thing.friend.id))

/** A picture by the URL that the viewer got once, else by a signature of theirs for another picture of the author, else without one. */
async function picture(eye: Eye, { post, mediaId }: Thing): Promise<boolean> {
  const path = `/media/${mediaId}/full.jpg`
  const signature = [...eye.pictures.values()].map(url => new URL(url).search)[0]
  const { status } = await eye.get(eye.pictures.get(post) ?? `${path}${signature ?? ''}`)
  expect([200, 404]).toContain(status)
  expect((await eye.get(path)).status, 'without a signature').toBe(404)
  return status === 200
}

/** Every GET of the API that shows something of somebody, by its path in the OpenAPI document. */
export const probes: Readonly<Record<string, Probe>> = {
  '/v1/accounts/{account}': {
    shown: 'profile',
    seen: (eye, thing) => byName(thing, '', path => single(eye, path, [thing.author.id, thing.author.username])),
  },
  '/v1/accounts': { shown: 'profile', seen: (eye, { author }) => listed(eye, `/accounts?ids=${author.id}`, author.id) },
  '/v1/accounts/{account}/followers': { shown: 'lists', seen: accountList('/followers') },
  '/v1/accounts/{account}/following': { shown: 'lists', seen: accountList('/following') },
  '/v1/accounts/{account}/mutuals': { shown: 'mutuals', seen: accountList('/mutuals') },
  '/v1/accounts/{account}/posts': {
    shown: 'post',
    seen: (eye, thing) => byName(thing, '/posts', path => listed(eye, path, thing.post)),
  },
  '/v1/posts/{id}': { shown: 'post', seen: (eye, { post }) => single(eye, `/posts/${post}`, [post]) },
  '/v1/posts': { shown: 'post', seen: (eye, { post }) => listed(eye, `/posts?ids=${post}`, post) },
  '/v1/posts/{id}/likes': {
    shown: 'post',
    seen: (eye, { post, author }) => listed(eye, `/posts/${post}/likes?limit=100`, author.id),
  },
  '/v1/posts/{id}/comments': {
    shown: 'post',
    seen: (eye, { post, comment, reply }) =>
      same(
        ...['', `?around=${comment}`, `?around=${reply}`].map(query => listed(eye, `/posts/${post}/comments${query}`, comment)),
      ),
  },
  '/v1/comments/{id}': {
    shown: 'post',
    seen: (eye, { comment, reply }) => same(...[comment, reply].map(id => single(eye, `/comments/${id}`, [id]))),
  },
  '/v1/comments/{id}/replies': {
    shown: 'post',
    seen: (eye, { comment, reply }) => listed(eye, `/comments/${comment}/replies`, reply),
  },
  '/v1/media/{id}/{file}': { shown: 'post', seen: picture },
  '/v1/me/likes': { shown: 'ownPost', seen: (eye, { post }) => listed(eye, '/me/likes', post) },
  '/v1/notifications': { shown: 'ownPost', seen: (eye, { post }) => listed(eye, '/notifications', post) },
  '/v1/notifications/unseen': {
    shown: 'anyPost',
    async seen(eye) {
      const { status, body } = await eye.get('/notifications/unseen')
      return status === 200 && (body as { count: number }).count > 0
    },
  },
  '/v1/feed': { shown: 'feed', seen: (eye, { post }) => listed(eye, '/feed', post) },
  '/v1/media': { shown: 'author', seen: (eye, { mediaId }) => listed(eye, `/media?ids=${mediaId}`, mediaId) },
  '/v1/media/{id}': { shown: 'author', seen: (eye, { mediaId }) => single(eye, `/media/${mediaId}`, [mediaId]) },
  '/v1/me/blocks': { shown: 'blocks', seen: (eye, { author }) => listed(eye, '/me/blocks', author.id) },
  '/v1/me/close-friends': { shown: 'nobody', seen: (eye, { author }) => listed(eye, '/me/close-friends', author.id) },
  '/v1/me/follow-requests': { shown: 'nobody', seen: (eye, { author }) => listed(eye, '/me/follow-requests', author.id) },
  '/v1/sessions': { shown: 'author', seen: (eye, { author }) => listed(eye, '/sessions', author.session.id) },
  '/v1/avatars/{id}/{file}': {
    shown: 'everybody',
    seen: async (eye, { avatarUrl }) => (await eye.get(avatarUrl)).status === 200,
  },
}

/** What each GET shows of each thing, by path: `y-yy`. */
export async function seenBy(eye: Eye, things: readonly Thing[]): Promise<Record<string, string>> {
  const seen: Record<string, string> = {}
  for (const [path, probe] of Object.entries(probes)) {
    seen[path] = ''
    for (const thing of things) seen[path] += (await probe.seen(eye, thing)) ? 'y' : '-'
  }
  return seen
}

/** GETs that show nothing of anybody who could be hidden, each with the reason. */
export const openPaths: Readonly<Record<string, string>> = {
  '/v1/me': 'oneself',
  '/v1/usernames/{name}': 'whether a name is free, which signing up must tell everybody',
  '/v1/erasures/{id}': 'a receipt, for whoever has its secret id',
  '/v1/live/events': 'the live channel has tests of its own, under the same rules',
  '/v1/instance': 'the deployment',
  '/healthz': 'the deployment',
  '/readyz': 'the deployment',
  '/metrics': 'the operator',
  '/ops': 'the operator',
  '/dev/outbox': 'the developer on this machine',
  '/openapi.json': 'the API',
  '/docs': 'the API',
}
