import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Person, type TestApp, testApp } from '../support/app.ts'
import { ok } from './world.ts'

/**
 * What somebody leaves in other people's places: seen by anybody who sees the place, not by whom they block; who blocks them still meets their name in
 * lists, but not their words. Columns: anybody, whom they block, who blocks them.
 */
const table = {
  'their profile': 'y-y',
  'their profile among others': 'y-y',
  'among followers': 'y-y',
  'among followed': 'y-y',
  'among likes': 'y-y',
  'among mentions of a post': 'y-y',
  'among mentions of a comment': 'y-y',
  'their comment': 'y--',
  'their comment in the list': 'y--',
  'a reply to their comment': 'y--',
  'replies to their comment': 'y--',
  'their reply': 'y--',
  'their reply in the list': 'y--',
  'told of their comment': 'y--',
  'told of their like': 'y--',
}

let app: TestApp
let looks: (viewer: Person) => Promise<Record<keyof typeof table, boolean>>
let viewers: Person[]
let postId: string

beforeAll(async () => {
  app = await testApp()
  const [author, third] = [await app.signUp(), await app.signUp()]
  await author.follow(third)
  await third.follow(author)
  viewers = [await app.signUp(), await app.signUp(), await app.signUp()]
  const post = await author.publish({ caption: `with @${third.username}` })
  postId = post.id
  let last = author.token
  const say = async (who: Person, on: string, text: string, parentId: string | null = null): Promise<string> => {
    const { status, body, token } = await who.post(`/posts/${on}/comments`, { text, parentId }, { after: last })
    expect(status, JSON.stringify(body)).toBe(201)
    last = token
    return body.id
  }
  const theirs = await say(third, post.id, 'mine')
  const answer = await say(author, post.id, 'to yours', theirs)
  const authors = await say(author, post.id, `what does @${third.username} say?`)
  const reply = await say(third, post.id, 'this', authors)
  await ok(third.put(`/posts/${post.id}/like`))
  const told = new Map<Person, { post: string; comment: string }>()
  for (const viewer of viewers) {
    const { id } = await viewer.publish()
    last = viewer.token
    told.set(viewer, { post: id, comment: await say(third, id, 'how nice') })
    await ok(third.put(`/posts/${id}/like`))
  }
  const [, blocked, blocking] = viewers as [Person, Person, Person]
  await ok(blocking.put(`/accounts/${third.id}/block`))
  await ok(third.put(`/accounts/${blocked.id}/block`))
  const after = third.token

  looks = async viewer => {
    const get = (path: string) => viewer.get(path, { after })
    const is = async (path: string) => (await get(path)).status === 200
    const has = async (path: string, id: string, list = 'items') => {
      const { status, body } = await get(path)
      return status === 200 && body[list].some((item: { id: string }) => item.id === id)
    }
    const tells = async (type: string) => {
      const { items } = (await get('/notifications')).body
      return items.some(
        (item: { type: string; post: { id: string }; actors: { id: string }[] }) =>
          item.type === type && item.post.id === told.get(viewer)!.post && item.actors.some(({ id }) => id === third.id),
      )
    }
    return {
      'their profile': await is(`/accounts/${third.id}`),
      'their profile among others': await has(`/accounts?ids=${third.id}`, third.id),
      'among followers': await has(`/accounts/${author.id}/followers`, third.id),
      'among followed': await has(`/accounts/${author.id}/following`, third.id),
      'among likes': await has(`/posts/${post.id}/likes`, third.id),
      'among mentions of a post': await has(`/posts/${post.id}`, third.id, 'mentions'),
      'among mentions of a comment': await has(`/comments/${authors}`, third.id, 'mentions'),
      'their comment': await is(`/comments/${theirs}`),
      'their comment in the list': await has(`/posts/${post.id}/comments`, theirs),
      'a reply to their comment': await is(`/comments/${answer}`),
      'replies to their comment': await is(`/comments/${theirs}/replies`),
      'their reply': await is(`/comments/${reply}`),
      'their reply in the list': await has(`/comments/${authors}/replies`, reply),
      'told of their comment': await tells('comment'),
      'told of their like': await tells('like'),
    }
  }
})
afterAll(() => app.stop())

it('shows what somebody leaves in other people’s places', async () => {
  const seen = await Promise.all(viewers.map(looks))
  const found = Object.keys(table).map(row => [row, seen.map(each => (each[row as keyof typeof table] ? 'y' : '-')).join('')])
  expect(Object.fromEntries(found)).toEqual(table)
})

it('counts the same for all', async () => {
  const counts = await Promise.all(viewers.map(async viewer => (await viewer.get(`/posts/${postId}`)).body.counts))
  expect(counts).toEqual([counts[0], counts[0], counts[0]])
  expect(counts[0]).toMatchObject({ likes: 1, comments: 4 })
})
