import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { type Person, type TestApp, testApp } from '../support/app.ts'

/** One node takes the commands; the other has shown everything before them, so that it keeps what they change. */
let node: TestApp
let other: TestApp
let author: Person
let viewer: Person
let people = 0

beforeAll(async () => {
  node = await testApp()
  other = await testApp(node)
})
afterAll(async () => {
  await other.stop()
  await node.stop()
})
beforeEach(async () => {
  ;[author, viewer] = await Promise.all([node.signUp(`author_${++people}`), node.signUp(`viewer_${people}`)])
})

const seen = (path: string, after: string | null, person = viewer) =>
  other.get(path, { after, headers: { Authorization: `Bearer ${person.session.accessToken}` } })

const ids = (answer: { body: { items: { id: string }[] } }) => answer.body.items.map(({ id }) => id)

it('whether the viewer likes a post or a comment', async () => {
  const post = await author.publish()
  const { body: comment } = await author.post(`/posts/${post.id}/comments`, { text: 'Good light' })
  // Somebody likes both, so that it is asked whether the viewer does.
  for (const path of [`/posts/${post.id}`, `/comments/${comment.id}`]) {
    await author.put(`${path}/like`)
    const standing = async (after: string | null) => {
      const { counts, viewer } = (await seen(path, after)).body
      return [counts.likes, viewer.liked]
    }
    expect(await standing(author.token)).toEqual([1, false])
    await viewer.put(`${path}/like`, undefined, { after: author.token })
    expect(await standing(viewer.token)).toEqual([2, true])
    await viewer.delete(`${path}/like`)
    expect(await standing(viewer.token)).toEqual([1, false])
    await author.delete(`${path}/like`)
    expect(await standing(author.token)).toEqual([0, false])
    await viewer.put(`${path}/like`)
    expect(await standing(viewer.token)).toEqual([1, true])
  }
})

it('how the viewer stands to an account, whoever of the two changes it', async () => {
  const standing = async () => (await seen(`/accounts/${author.id}/posts`, [author.token, viewer.token].join())).body
  const post = await author.publish({ audience: 'followers' })
  expect(ids({ body: await standing() })).toEqual([])
  await viewer.follow(author)
  expect((await standing()).items).toMatchObject([{ id: post.id, author: { viewer: { follows: true, followsYou: false } } }])
  await author.follow(viewer)
  expect((await standing()).items).toMatchObject([{ author: { viewer: { follows: true, followsYou: true } } }])
  await author.delete(`/me/followers/${viewer.id}`)
  expect((await standing()).items).toEqual([])
  await author.put(`/accounts/${viewer.id}/block`)
  expect(await standing()).toMatchObject({ code: 'not_found' })
})

it('the newest posts of an author', async () => {
  const list = async () => ids(await seen(`/accounts/${author.id}/posts`, author.token))
  expect(await list()).toEqual([])
  const [first, second] = [await author.publish(), await author.publish()]
  expect(await list()).toEqual([second.id, first.id])
  await author.delete(`/posts/${second.id}`)
  expect(await list()).toEqual([first.id])
  const many: string[] = []
  for (let n = 0; n < 3; n++) many.unshift((await author.publish()).id)
  expect(await list()).toEqual([...many, first.id])
  expect(ids(await seen(`/accounts/${author.id}/posts?limit=2`, author.token))).toEqual(many.slice(0, 2))
})

it('the newest comments of a post', async () => {
  const post = await author.publish()
  const list = async (after: string | null) => ids(await seen(`/posts/${post.id}/comments`, after))
  const comment = async (text: string, by = author) =>
    (await by.post(`/posts/${post.id}/comments`, { text }, { after: author.token })).body.id
  expect(await list(author.token)).toEqual([])
  const first = await comment('one')
  expect(await list(author.token)).toEqual([first])
  const many: string[] = []
  for (let n = 0; n < 22; n++) many.unshift(await comment(String(n)))
  expect(await list(author.token)).toEqual(many.slice(0, 20))
  const ofViewer = await comment('mine', viewer)
  expect(await list(viewer.token)).toEqual([ofViewer, ...many.slice(0, 19)])
  await author.put(`/accounts/${viewer.id}/block`)
  expect(ids(await seen(`/posts/${post.id}/comments`, author.token, author))).toEqual(many.slice(0, 20))
})

it('the newest of what an account is told, and how much of it is unseen', async () => {
  const fan = await node.signUp(`fan_${people}`)
  const told = async () => {
    const after = [author, viewer, fan].flatMap(({ token }) => token ?? []).join(', ')
    const waiting = (await seen('/notifications', after, author)).body
    // Without a token the same, from what is kept since.
    const { items } = (await seen('/notifications', null, author)).body
    expect(items).toEqual(waiting.items)
    const { count } = (await seen('/notifications/unseen', null, author)).body
    return [...items.map((one: { type: string; count: number }) => `${one.type} ${one.count}`), count]
  }
  const post = await author.publish()
  const { body: comment } = await viewer.post(`/posts/${post.id}/comments`, { text: 'Good light' }, { after: author.token })
  expect(await told()).toEqual(['comment 1', 1])
  for (const one of [viewer, fan]) await one.put(`/posts/${post.id}/like`, undefined, { after: author.token })
  expect(await told()).toEqual(['like 2', 'comment 1', 2])
  await author.put(`/accounts/${viewer.id}/block`)
  expect(await told()).toEqual(['like 1', 1])
  await author.delete(`/accounts/${viewer.id}/block`)
  expect(await told()).toEqual(['like 2', 'comment 1', 2])
  await author.put('/notifications/seen')
  expect(await told()).toEqual(['like 2', 'comment 1', 0])
  await fan.follow(author)
  expect(await told()).toEqual(['follow 1', 'like 2', 'comment 1', 1])
  await fan.delete(`/accounts/${author.id}/follow`)
  await fan.delete(`/posts/${post.id}/like`)
  expect(await told()).toEqual(['like 1', 'comment 1', 0])
  await viewer.delete(`/comments/${comment.id}`)
  expect(await told()).toEqual(['like 1', 0])
  await author.delete(`/posts/${post.id}`)
  expect(await told()).toEqual([0])
})

it('who is signed in, until the session ends', async () => {
  expect((await seen('/me', viewer.token)).status).toBe(200)
  const { body } = await node.post('/sessions', { login: viewer.username, password: viewer.password })
  const second = { headers: { Authorization: `Bearer ${body.session.accessToken}` } }
  expect((await other.get('/me', second)).status).toBe(200)
  expect((await viewer.delete(`/sessions/${body.session.id}`)).status).toBe(204)
  expect((await other.get('/me', second)).body).toMatchObject({ code: 'session_revoked' })
  expect((await seen('/me', viewer.token)).status).toBe(200)
})
