import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Person, type TestApp, testApp } from '../support/app.ts'

let app: TestApp
let ada: Person
let ben: Person
let eve: Person
/** Ada's, for everybody. */
let photo: string

beforeAll(async () => {
  app = await testApp()
  ;[ada, ben, eve] = await Promise.all([app.signUp('ada'), app.signUp('ben'), app.signUp('eve')])
  photo = (await ada.publish()).id
})
afterAll(() => app.stop())

type Comment = { id: string; text: string }

const say = async (
  person: Person,
  text: string,
  { post = photo, parentId, after }: { post?: string; parentId?: string; after?: string | null } = {},
) => {
  const answer = await person.post(
    `/posts/${post}/comments`,
    { text, ...(parentId === undefined ? {} : { parentId }) },
    { after: after ?? ada.token },
  )
  expect(answer.status, JSON.stringify(answer.body)).toBe(201)
  return answer.body
}
const list = async (viewer: Person | TestApp, path: string, after?: string | null) => {
  const answer = await viewer.get(path, { after })
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return answer.body as { items: Comment[]; nextCursor: string | null }
}
const texts = ({ items }: { items: Comment[] }) => items.map(({ text }) => text)
const count = async (viewer: Person, post: string, after?: string | null) =>
  (await viewer.get(`/posts/${post}`, { after })).body.counts.comments

describe('adding', () => {
  it('answers the comment as a GET gives it, with its place and version', async () => {
    const answer = await ben.post(
      `/posts/${photo}/comments`,
      { text: 'What light, @ada and @nobody.here! ✨' },
      { after: ada.token },
    )
    expect(answer.status).toBe(201)
    expect(answer.body).toEqual({
      id: answer.body.id,
      postId: photo,
      parentId: null,
      author: expect.objectContaining({ id: ben.id, username: 'ben' }),
      text: 'What light, @ada and @nobody.here! ✨',
      mentions: [expect.objectContaining({ id: ada.id })],
      createdAt: expect.any(String),
      editedAt: null,
      counts: { likes: 0, replies: 0 },
      viewer: { liked: false, canEdit: true, canDelete: true },
    })
    expect(answer.headers.get('location')).toBe(`/v1/comments/${answer.body.id}`)
    const got = await ben.get(`/comments/${answer.body.id}`)
    expect(got.body).toEqual(answer.body)
    expect(got.headers.get('etag')).toBe(answer.headers.get('etag'))
    expect(
      (await ben.get(`/comments/${answer.body.id}`, { headers: { 'If-None-Match': got.headers.get('etag')! } })).status,
    ).toBe(304)
  })

  it('is seen by others, by each with what they may do, and counted', async () => {
    const { id: post } = await ada.publish()
    const { id } = await say(ben, 'Hm', { post })
    const seen = async (viewer: Person | TestApp) => (await viewer.get(`/comments/${id}`, { after: ben.token })).body.viewer
    expect(await seen(ada)).toEqual({ liked: false, canEdit: false, canDelete: true })
    expect(await seen(eve)).toEqual({ liked: false, canEdit: false, canDelete: false })
    expect(await seen(app)).toEqual({ liked: false, canEdit: false, canDelete: false })
    expect(await count(eve, post, ben.token)).toBe(1)
  })

  it('once for one Idempotency-Key, also in parallel', async () => {
    const { id: post } = await ada.publish()
    const send = (text: string) =>
      ben.post(`/posts/${post}/comments`, { text }, { after: ada.token, headers: { 'Idempotency-Key': 'k-1' } })
    const [one, other] = await Promise.all([send('Once'), send('Once')])
    expect([one.status, other.status]).toEqual([201, 201])
    expect(one.body.id).toBe(other.body.id)
    expect((await send('Once')).body.id).toBe(one.body.id)
    expect((await send('Twice')).body.code).toBe('idempotency_key_reused')
    expect(await count(ben, post)).toBe(1)
    await ada.patch(`/posts/${post}`, { comments: 'off' })
    expect((await send('Once')).status).toBe(201)
    await ben.delete(`/comments/${one.body.id}`)
    expect((await send('Once')).status).toBe(404)
  })

  it('refuses text of a wrong form, with its place', async () => {
    const refused = async (body: unknown) => {
      const answer = await ben.post(`/posts/${photo}/comments`, body)
      expect(answer.status, JSON.stringify(answer.body)).toBe(422)
      return answer.body.errors[0].path
    }
    const many = (mark: string, n: number) => Array.from({ length: n }, (_, i) => `${mark}a${i}`).join(' ')
    for (const text of ['', ' \n\t', 'x'.repeat(2_201), many('#', 31), many('@', 21), 'a\0b', '\ud800', 7, null]) {
      expect(await refused({ text })).toBe('/text')
    }
    expect(await refused({})).toBe('/text')
    expect(await refused({ text: 'Hm', pinned: true })).toBe('/pinned')
    expect((await ben.post(`/posts/${photo}/comments`, [])).status).toBe(422)
    expect((await ben.post(`/posts/${photo}/comments`, { text: '✨'.repeat(2_200) })).status).toBe(201)
    expect((await ben.post(`/posts/${photo}/comments`, { text: [many('#', 30), many('@', 20)].join(' ') })).status).toBe(201)
  })

  it('needs somebody signed in and a post that they may see', async () => {
    expect((await app.post(`/posts/${photo}/comments`, { text: 'Hm' })).status).toBe(401)
    expect((await ben.post(`/posts/${randomUUID()}/comments`, { text: 'Hm' })).status).toBe(404)
    const { id: post } = await ada.publish({ audience: 'followers' })
    expect((await ben.post(`/posts/${post}/comments`, { text: 'Hm' }, { after: ada.token })).status).toBe(404)
    expect((await ben.get(`/posts/${post}/comments`)).status).toBe(404)
  })

  it('obeys who may comment: everyone, followers or nobody but the author', async () => {
    const follower = await app.signUp()
    await follower.follow(ada)
    const { id: forFollowers } = await ada.publish({ comments: 'followers' })
    const refused = await ben.post(`/posts/${forFollowers}/comments`, { text: 'Hm' }, { after: ada.token })
    expect(refused.status).toBe(403)
    expect(refused.body.detail).toMatch(/followers/i)
    await say(follower, 'Hm', { post: forFollowers })
    const { id: off } = await ada.publish({ comments: 'off' })
    const closed = await follower.post(`/posts/${off}/comments`, { text: 'Hm' }, { after: ada.token })
    expect(closed.body).toMatchObject({ status: 403, code: 'forbidden', detail: expect.stringMatching(/switched off/) })
    await say(ada, 'A word from the author', { post: off })
  })

  it('mentions nobody with whom there is a block', async () => {
    const [one, two] = [await app.signUp(), await app.signUp()]
    await one.put(`/accounts/${ben.id}/block`)
    await ben.put(`/accounts/${two.id}/block`)
    const { mentions } = await say(ben, `@${one.username} @${two.username} @ada`, { after: one.token })
    expect(mentions.map(({ username }: { username: string }) => username)).toEqual(['ada'])
  })
})

describe('lists', () => {
  let post: string
  const ids: string[] = []
  beforeAll(async () => {
    post = (await ada.publish()).id
    for (const text of ['1', '2', '3', '4', '5']) ids.push((await say(ben, text, { post })).id)
  })

  it('stand newest first, a page at a time', async () => {
    const first = await list(ben, `/posts/${post}/comments?limit=2`)
    expect(texts(first)).toEqual(['5', '4'])
    const second = await list(ben, `/posts/${post}/comments?limit=3&cursor=${first.nextCursor}`)
    expect(texts(second)).toEqual(['3', '2', '1'])
    expect(second.nextCursor).toBeNull()
    expect(texts(await list(app, `/posts/${post}/comments`, ben.token))).toHaveLength(5)
  })

  it('show the page around one comment, and go on from there', async () => {
    const page = await list(ben, `/posts/${post}/comments?limit=3&around=${ids[2]}`)
    expect(texts(page)).toEqual(['4', '3', '2'])
    expect(texts(await list(ben, `/posts/${post}/comments?limit=3&cursor=${page.nextCursor}`))).toEqual(['1'])
    expect(texts(await list(ben, `/posts/${post}/comments?limit=1&around=${ids[0]}`))).toEqual(['1'])
    expect(texts(await list(ben, `/posts/${post}/comments?around=${ids[4]}`))).toHaveLength(5)
    const reply = await say(eve, 'to 4', { post, parentId: ids[3]!, after: ben.token })
    expect(texts(await list(eve, `/posts/${post}/comments?limit=2&around=${reply.id}`))).toEqual(['5', '4'])
    for (const around of [randomUUID(), 'x']) {
      const answer = await ben.get(`/posts/${post}/comments?around=${around}`)
      expect(answer.body).toMatchObject({ status: 422, errors: { 0: { path: '/around' } } })
    }
    expect((await ben.get(`/posts/${photo}/comments?around=${ids[0]}`)).status).toBe(422)
    expect((await ben.get(`/posts/${post}/comments?around=${ids[0]}&cursor=${page.nextCursor}`)).status).toBe(422)
  })

  it('do not take the cursor of another list', async () => {
    const { nextCursor } = await list(ben, `/posts/${post}/comments?limit=2`)
    expect((await ben.get(`/comments/${ids[0]}/replies?cursor=${nextCursor}`)).body.code).toBe('cursor_invalid')
  })
})

describe('replies', () => {
  it('stand under the top-level comment, oldest first, also those to replies', async () => {
    const { id: post } = await ada.publish()
    const top = await say(ben, 'top', { post })
    const reply = await say(eve, 'reply', { post, parentId: top.id, after: ben.token })
    const deeper = await say(ada, 'deeper', { post, parentId: reply.id, after: eve.token })
    expect([reply.parentId, deeper.parentId]).toEqual([top.id, top.id])
    expect(texts(await list(ben, `/comments/${top.id}/replies`, ada.token))).toEqual(['reply', 'deeper'])
    expect(texts(await list(ben, `/posts/${post}/comments`))).toEqual(['top'])
    expect((await ben.get(`/comments/${top.id}`)).body.counts.replies).toBe(2)
    expect(await count(ben, post)).toBe(3)
  })

  it('need a comment that is to be seen under that post', async () => {
    const { id: post } = await ada.publish()
    const elsewhere = await say(ben, 'elsewhere')
    for (const parentId of [elsewhere.id, randomUUID(), 'no id']) {
      const answer = await ben.post(`/posts/${post}/comments`, { text: 'Hm', parentId }, { after: ada.token })
      expect(answer.body).toMatchObject({ status: 422, errors: { 0: { path: '/parentId' } } })
    }
  })
})

describe('editing', () => {
  it('changes the text for its author, at the revision that was seen', async () => {
    const { id } = await say(ben, 'Befor')
    const { headers } = await ben.get(`/comments/${id}`)
    const edit = (text: string) => ben.patch(`/comments/${id}`, { text }, { headers: { 'If-Match': headers.get('etag')! } })
    const edited = await edit('Before, @eve')
    expect(edited.status).toBe(200)
    expect(edited.body).toMatchObject({ text: 'Before, @eve', mentions: [{ username: 'eve' }], editedAt: expect.any(String) })
    expect((await edit('Again')).body).toMatchObject({ status: 412, code: 'version_conflict' })
    // A repeat is answered as the first one was.
    expect((await edit('Before, @eve')).body).toEqual(edited.body)
    expect((await ada.get(`/comments/${id}`, { after: ben.token })).body).toMatchObject({ text: 'Before, @eve' })
    expect((await ben.patch(`/comments/${id}`, {})).body).toEqual(edited.body)
    expect((await ben.patch(`/comments/${id}`, { text: null })).status).toBe(422)
    expect((await ben.patch(`/comments/${id}`, { text: ' ' })).status).toBe(422)
  })

  it('is refused to others: those who see it are told so', async () => {
    const { id } = await say(ben, 'Mine')
    expect((await ada.patch(`/comments/${id}`, { text: 'Hers' }, { after: ben.token })).status).toBe(403)
    expect((await ada.patch(`/comments/${randomUUID()}`, { text: 'Hers' })).status).toBe(404)
    const cy = await app.signUp()
    await ben.put(`/accounts/${cy.id}/block`)
    expect((await cy.patch(`/comments/${id}`, { text: 'Hers' }, { after: ben.token })).status).toBe(404)
    await ben.delete(`/accounts/${cy.id}/block`)
  })
})

describe('deleting', () => {
  it('takes the replies along, for everybody at once', async () => {
    const { id: post } = await ada.publish()
    const top = await say(ben, 'top', { post })
    const reply = await say(eve, 'reply', { post, parentId: top.id, after: ben.token })
    await say(eve, 'other', { post })
    expect((await eve.delete(`/comments/${top.id}`)).status).toBe(403)
    const gone = await ben.delete(`/comments/${top.id}`)
    expect([gone.status, gone.token]).toEqual([200, expect.any(String)])
    expect((await ben.delete(`/comments/${top.id}`)).status).toBe(200)
    expect((await eve.delete(`/comments/${top.id}`)).status).toBe(404)
    // Without a token: what is taken away is gone when it is acknowledged.
    for (const path of [top.id, reply.id, `${top.id}/replies`]) expect((await app.get(`/comments/${path}`)).status).toBe(404)
    expect(texts(await list(app, `/posts/${post}/comments`))).toEqual(['other'])
    expect(await count(ada, post)).toBe(1)
  })

  it('is for the author of the post too', async () => {
    const { id } = await say(ben, 'Rude')
    expect((await ada.delete(`/comments/${id}`, { after: ben.token })).status).toBe(200)
    expect((await ben.get(`/comments/${id}`)).status).toBe(404)
    expect((await ada.delete(`/comments/${randomUUID()}`)).status).toBe(404)
  })

  it('of the post hides all of them', async () => {
    const { id: post } = await ada.publish()
    const { id } = await say(ben, 'Hm', { post })
    await ada.delete(`/posts/${post}`)
    expect((await ben.get(`/comments/${id}`)).status).toBe(404)
    expect((await app.get(`/posts/${post}/comments`)).status).toBe(404)
  })
})

describe('who may not see', () => {
  it('a comment: a block hides it both ways, and the replies with it; the counts stay', async () => {
    const { id: post } = await ada.publish()
    const cy = await app.signUp()
    const top = await say(ben, 'by ben', { post })
    const reply = await say(eve, 'to ben', { post, parentId: top.id, after: ben.token })
    await say(cy, 'by cy', { post })
    await cy.put(`/accounts/${ben.id}/block`)
    expect(texts(await list(cy, `/posts/${post}/comments`))).toEqual(['by cy'])
    expect(texts(await list(ben, `/posts/${post}/comments`))).toEqual(['by ben'])
    for (const path of [top.id, reply.id, `${top.id}/replies`]) expect((await cy.get(`/comments/${path}`)).status).toBe(404)
    expect((await cy.post(`/posts/${post}/comments`, { text: 'Hm', parentId: top.id })).status).toBe(422)
    expect((await cy.get(`/posts/${post}/comments?around=${top.id}`)).status).toBe(422)
    expect(await count(cy, post, eve.token)).toBe(3)
    expect(texts(await list(eve, `/posts/${post}/comments`))).toEqual(['by cy', 'by ben'])
  })

  it('a post that went private, nor what stands under it', async () => {
    const author = await app.signUp()
    const { id: post } = await author.publish()
    const { id } = await say(ben, 'Hm', { post, after: author.token })
    await author.put('/me/account-type', { type: 'private' })
    for (const path of [`/comments/${id}`, `/comments/${id}/replies`, `/posts/${post}/comments`]) {
      for (const viewer of [app, ben, eve]) expect((await viewer.get(path)).status).toBe(404)
    }
    expect((await ben.patch(`/comments/${id}`, { text: 'Hm?' })).status).toBe(404)
    expect((await author.get(`/comments/${id}`)).status).toBe(200)
  })
})

describe('erasure', () => {
  it('takes along what the account said, the replies to that, and all under its posts', async () => {
    const gone = await app.signUp()
    const { id: post } = await ada.publish()
    const top = await say(gone, 'by gone', { post })
    await say(ben, 'to gone', { post, parentId: top.id, after: gone.token })
    await say(ben, `about @${gone.username}`, { post })
    const { id: theirs } = await gone.publish()
    const under = await say(ben, 'under a post of gone', { post: theirs, after: gone.token })
    expect((await gone.post('/me/erasure')).status).toBe(202)
    const left = await ada.get(`/posts/${post}/comments`, { after: gone.token })
    expect(left.body.items).toMatchObject([{ text: `about @${gone.username}`, mentions: [] }])
    expect(await count(ada, post)).toBe(1)
    expect((await ben.get(`/comments/${under.id}`, { after: gone.token })).status).toBe(404)
  })
})
