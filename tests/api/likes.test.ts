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

const like = async (person: Person, path: string, after = ada.token) => {
  const answer = await person.put(`${path}/like`, undefined, { after })
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return answer.body
}
const unlike = async (person: Person, path: string, after?: string | null) =>
  (await person.delete(`${path}/like`, { after })).body
const liked = (id: string, liked: boolean, likes: number, comments = 0) => ({
  id,
  viewer: { liked },
  counts: { likes, comments },
})
const names = ({ body }: { body: { items: { username: string }[] } }) => body.items.map(({ username }) => username)

describe('the like of a post', () => {
  it('is answered as it was decided, without waiting, and a repeat says the same', async () => {
    const path = `/posts/${photo}`
    expect(await like(ben, path)).toEqual(liked(photo, true, 1))
    expect(await like(ben, path)).toEqual(liked(photo, true, 1))
    expect(await like(eve, path, ben.token)).toEqual(liked(photo, true, 2))
    expect(await unlike(ben, path, eve.token)).toEqual(liked(photo, false, 1))
    expect(await unlike(ben, path, eve.token)).toEqual(liked(photo, false, 1))
    expect(await unlike(eve, path, ben.token)).toEqual(liked(photo, false, 0))
  })

  it('is counted once, however often and however much at once it is sent', async () => {
    const { id } = await ada.publish()
    const answers = await Promise.all(Array.from({ length: 12 }, () => like(ben, `/posts/${id}`)))
    for (const answer of answers) expect(answer).toEqual(liked(id, true, 1))
    expect((await ada.get(`/posts/${id}`, { after: ben.token })).body.counts.likes).toBe(1)
  })

  it('is seen by the author, who may like too, and says to each what they did', async () => {
    const { id } = await ada.publish()
    await like(ada, `/posts/${id}`)
    await like(ben, `/posts/${id}`)
    const seen = async (by: Person) => (await by.get(`/posts/${id}`, { after: [ada.token, ben.token].join() })).body
    expect(await seen(ada)).toMatchObject({ counts: { likes: 2 }, viewer: { liked: true } })
    expect(await seen(eve)).toMatchObject({ counts: { likes: 2 }, viewer: { liked: false } })
  })

  it('needs a post that the actor may see, and somebody signed in', async () => {
    const { id } = await ada.publish({ audience: { accountIds: [ben.id] } })
    for (const method of ['PUT', 'DELETE']) {
      expect((await eve.send(method, `/posts/${id}/like`, { after: ada.token })).status).toBe(404)
      expect((await eve.send(method, `/posts/${randomUUID()}/like`)).body.code).toBe('not_found')
      expect((await eve.send(method, '/posts/no-id/like')).status).toBe(404)
      expect((await app.send(method, `/posts/${photo}/like`)).status).toBe(401)
    }
    expect(await like(ben, `/posts/${id}`)).toEqual(liked(id, true, 1))
  })

  it('cannot be given or taken back once the post is deleted', async () => {
    const { id } = await ada.publish()
    await like(ben, `/posts/${id}`)
    await ada.delete(`/posts/${id}`)
    expect((await ben.put(`/posts/${id}/like`)).status).toBe(404)
    expect((await ben.delete(`/posts/${id}/like`)).status).toBe(404)
    expect((await ben.get(`/posts/${id}/likes`)).status).toBe(404)
  })
})

describe('the like of a comment', () => {
  let comment: string
  beforeAll(async () => {
    comment = (await ben.post(`/posts/${photo}/comments`, { text: 'What light!' }, { after: ada.token })).body.id
  })

  it('is answered with the counts of the comment, and seen there', async () => {
    const answer = await eve.put(`/comments/${comment}/like`, undefined, { after: ben.token })
    expect(answer.body).toEqual({ id: comment, viewer: { liked: true }, counts: { likes: 1, replies: 0 } })
    const seen = (await eve.get(`/comments/${comment}`)).body
    expect(seen).toMatchObject({ counts: { likes: 1 }, viewer: { liked: true } })
    expect((await unlike(eve, `/comments/${comment}`)).counts.likes).toBe(0)
  })

  it('needs a comment that the actor may see', async () => {
    expect((await eve.put(`/comments/${randomUUID()}/like`)).status).toBe(404)
    const cy = await app.signUp()
    await ben.put(`/accounts/${cy.id}/block`)
    expect((await cy.put(`/comments/${comment}/like`, undefined, { after: ben.token })).status).toBe(404)
  })
})

describe('who likes a post', () => {
  it('stands newest first, a page at a time', async () => {
    const { id } = await ada.publish()
    for (const person of [ada, ben, eve]) await like(person, `/posts/${id}`)
    const first = await eve.get(`/posts/${id}/likes?limit=2`)
    expect(names(first)).toEqual(['eve', 'ben'])
    const second = await eve.get(`/posts/${id}/likes?limit=2&cursor=${first.body.nextCursor}`)
    expect(names(second)).toEqual(['ada'])
    expect(second.body.nextCursor).toBeNull()
    expect(names(await app.get(`/posts/${id}/likes`))).toHaveLength(3)
  })

  it('leaves out who blocks the viewer, and counts them', async () => {
    const { id } = await ada.publish()
    const cy = await app.signUp('cy')
    for (const person of [cy, ben, eve]) await like(person, `/posts/${id}`)
    await eve.put(`/accounts/${cy.id}/block`)
    const page = await cy.get(`/posts/${id}/likes?limit=2`, { after: eve.token })
    expect(names(page)).toEqual(['ben', 'cy'])
    expect((await cy.get(`/posts/${id}`)).body.counts.likes).toBe(3)
  })

  it('refuses hostile cursors and limits, and hides with the post', async () => {
    const { id } = await ada.publish({ audience: 'followers' })
    expect((await ada.get(`/posts/${id}/likes?cursor=AAAA`)).body.code).toBe('cursor_invalid')
    expect((await ada.get(`/posts/${id}/likes?limit=0`)).status).toBe(422)
    expect((await ada.get(`/posts/${id}/likes?order=top`)).status).toBe(422)
    expect((await eve.get(`/posts/${id}/likes`, { after: ada.token })).status).toBe(404)
    const elsewhere = (await ada.get(`/posts/${photo}/likes?limit=1`)).body.nextCursor
    if (elsewhere !== null) expect((await ada.get(`/posts/${id}/likes?cursor=${elsewhere}`)).status).toBe(400)
  })
})

describe('what one likes', () => {
  it('stands with the newest like first; what may not be seen any more is left out and the page filled', async () => {
    const cy = await app.signUp()
    const posts: string[] = []
    for (let n = 0; n < 4; n++) posts.push((await ada.publish()).id)
    const [one, two, three, four] = posts as [string, string, string, string]
    for (const id of [three, one, four, two]) await like(cy, `/posts/${id}`)
    const mine = async (path = '/me/likes', after?: string | null) => (await cy.get(path, { after })).body
    expect((await mine()).items.map(({ id }: { id: string }) => id)).toEqual([two, four, one, three])
    await ada.patch(`/posts/${four}`, { audience: 'followers' })
    await unlike(cy, `/posts/${two}`)
    const page = await mine('/me/likes?limit=2', ada.token)
    expect(page.items.map(({ id }: { id: string }) => id)).toEqual([one, three])
    expect(page.items[0].viewer.liked).toBe(true)
    expect(page.nextCursor).toBeNull()
    expect((await app.get('/me/likes')).status).toBe(401)
  })
})

describe('erasure', () => {
  it('takes the likes of the account along', async () => {
    const { id } = await ada.publish()
    const gone = await app.signUp()
    await like(gone, `/posts/${id}`)
    await like(ben, `/posts/${id}`)
    expect((await gone.post('/me/erasure')).status).toBe(202)
    const after = { after: gone.token }
    expect((await ada.get(`/posts/${id}`, after)).body.counts.likes).toBe(1)
    expect(names(await ada.get(`/posts/${id}/likes`, after))).toEqual(['ben'])
  })
})
