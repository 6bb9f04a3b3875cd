import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Person, type TestApp, testApp } from '../support/app.ts'

let app: TestApp
let ada: Person
let ben: Person
let cy: Person

beforeAll(async () => {
  app = await testApp()
})
afterAll(() => app.stop())

/** Three people who know nothing of each other. */
const strangers = async () => {
  ;[ada, ben, cy] = [await app.signUp(), await app.signUp(), await app.signUp()]
}
const goPrivate = async (person: Person, type = 'private') =>
  expect((await person.put('/me/account-type', { type })).status).toBe(200)
const nobody = { follows: false, followsYou: false, requested: false, blocks: false, closeFriend: false }
const profile = async (viewer: Person, of: Person) => (await viewer.get(`/accounts/${of.id}`, { after: of.token })).body
const ids = async (viewer: Person | TestApp, path: string, after: string | null = null): Promise<string[]> => {
  const answer = await viewer.get(path, { after })
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return answer.body.items.map(({ id }: { id: string }) => id)
}

describe('following', () => {
  beforeAll(strangers)

  it('answers what the profile then says, for the one and the other', async () => {
    const answer = await ada.put(`/accounts/${ben.username}/follow`)
    expect(answer.body).toEqual({
      id: ben.id,
      state: 'following',
      viewer: { ...nobody, follows: true },
      counts: { posts: 0, followers: 1, following: 0 },
    })
    expect(await profile(ada, ben)).toMatchObject({ viewer: answer.body.viewer, counts: answer.body.counts })
    expect((await ben.get(`/accounts/${ada.id}`, { after: ada.token })).body).toMatchObject({
      viewer: { ...nobody, followsYou: true },
      counts: { following: 1, followers: 0 },
    })
  })

  it('says the same again, at once and when repeated together', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => ada.put(`/accounts/${ben.id}/follow`)))
    for (const { status, body } of answers) {
      expect(status).toBe(200)
      expect(body).toMatchObject({ state: 'following', counts: { followers: 1 } })
    }
    expect((await profile(ada, ben)).counts.followers).toBe(1)
  })

  it('stands in both lists, newest first, a page at a time', async () => {
    await cy.follow(ben)
    const first = await app.get(`/accounts/${ben.id}/followers?limit=1`, { after: cy.token })
    expect(first.body.items).toEqual([{ id: cy.id, username: cy.username, displayName: null, avatarUrl: null, viewer: nobody }])
    const second = await app.get(`/accounts/${ben.id}/followers?limit=1&cursor=${first.body.nextCursor}`)
    expect(second.body).toMatchObject({ items: [{ id: ada.id }], nextCursor: null })
    expect(await ids(app, `/accounts/${ada.id}/following`)).toEqual([ben.id])
    expect((await app.get(`/accounts/${cy.id}/followers?cursor=${first.body.nextCursor}`)).body.code).toBe('cursor_invalid')
  })

  it('shows whom both know', async () => {
    await ada.follow(cy)
    expect(await ids(ada, `/accounts/${ben.id}/mutuals`, cy.token)).toEqual([cy.id])
    expect(await ids(app, `/accounts/${ben.id}/mutuals`)).toEqual([])
  })

  it('ends, also twice', async () => {
    for (const _ of [1, 2]) {
      const { body } = await ada.delete(`/accounts/${ben.id}/follow`)
      expect(body).toEqual({ id: ben.id, state: 'none', viewer: nobody, counts: { posts: 0, followers: 1, following: 0 } })
    }
    expect(await ids(ada, `/accounts/${ben.id}/followers`)).toEqual([cy.id])
  })

  it('refuses oneself, the unknown and the unsigned', async () => {
    expect((await ada.put(`/accounts/${ada.id}/follow`)).body.code).toBe('validation_failed')
    for (const ref of ['00000000-0000-4000-8000-000000000000', 'nobody.there', 'A%00', '%ED%A0%80', '..', 'x'.repeat(300)]) {
      const { status } = await ada.put(`/accounts/${ref}/follow`)
      expect([400, 404], ref).toContain(status)
    }
    expect((await app.send('PUT', `/accounts/${ben.id}/follow`)).status).toBe(401)
  })
})

describe('a private account', () => {
  beforeAll(async () => {
    await strangers()
    await ada.follow(ben)
    await goPrivate(ben)
  })

  it('is asked first, and sees who asks', async () => {
    const { body } = await cy.put(`/accounts/${ben.id}/follow`)
    expect(body).toMatchObject({ state: 'requested', viewer: { ...nobody, requested: true }, counts: { followers: 1 } })
    expect(await ids(ben, '/me/follow-requests', cy.token)).toEqual([cy.id])
    expect((await profile(cy, ben)).viewer).toEqual({ ...nobody, requested: true })
  })

  it('shows strangers its profile with counts, and empty lists', async () => {
    for (const viewer of [cy, app]) {
      const { body } = await viewer.get(`/accounts/${ben.id}`)
      expect(body).toMatchObject({ isPrivate: true, type: 'private', counts: { followers: 1 } })
      for (const list of ['followers', 'following', 'mutuals'])
        expect(await ids(viewer, `/accounts/${ben.id}/${list}`)).toEqual([])
    }
    expect(await ids(ada, `/accounts/${ben.id}/followers`)).toEqual([ada.id])
    expect(await ids(ben, `/accounts/${ben.id}/followers`)).toEqual([ada.id])
  })

  it('refuses a request, and accepts the next', async () => {
    expect((await ben.delete(`/me/follow-requests/${cy.id}`)).body).toMatchObject({ id: cy.id, viewer: nobody })
    expect((await ben.put(`/me/follow-requests/${cy.id}`)).status).toBe(404)
    expect((await profile(cy, ben)).viewer.requested).toBe(false)
    expect((await cy.put(`/accounts/${ben.id}/follow`)).body.state).toBe('requested')
    for (const _ of [1, 2]) {
      const { body } = await ben.put(`/me/follow-requests/${cy.id}`)
      expect(body).toMatchObject({ id: cy.id, viewer: { ...nobody, followsYou: true }, counts: { following: 1 } })
    }
    expect(await ids(ben, '/me/follow-requests')).toEqual([])
    expect(await ids(cy, `/accounts/${ben.id}/followers`, ben.token)).toEqual([cy.id, ada.id])
  })

  it('removes a follower: what they saw is gone at once, without their token', async () => {
    for (const _ of [1, 2]) expect((await ben.delete(`/me/followers/${cy.id}`)).body).toMatchObject({ id: cy.id, viewer: nobody })
    expect((await cy.get(`/accounts/${ben.id}/followers`)).body.items).toEqual([])
    expect((await cy.put(`/accounts/${ben.id}/follow`)).body.state).toBe('requested')
  })

  it('takes back a request by unfollowing', async () => {
    expect((await cy.delete(`/accounts/${ben.id}/follow`)).body).toMatchObject({ state: 'none', viewer: nobody })
    expect(await ids(ben, '/me/follow-requests', cy.token)).toEqual([])
  })

  it('accepts all who ask once it is personal again', async () => {
    await ada.delete(`/accounts/${ben.id}/follow`)
    await ada.follow(ben)
    await cy.follow(ben)
    await goPrivate(ben, 'personal')
    await expect.poll(() => ids(ben, `/accounts/${ben.id}/followers`).then(found => found.sort())).toEqual([ada.id, cy.id].sort())
    expect(await ids(ben, '/me/follow-requests')).toEqual([])
    expect((await ada.get(`/accounts/${ben.id}`)).body.viewer).toEqual({ ...nobody, follows: true })
  })
})

describe('a block', () => {
  beforeAll(async () => {
    await strangers()
    await ada.follow(ben)
    await ben.follow(ada)
    await cy.follow(ada)
    await cy.follow(ben)
  })

  it('severs both follows, and makes the one who blocks unknown to the other, without any token', async () => {
    const { body } = await ada.put(`/accounts/${ben.id}/block`)
    expect(body).toEqual({ id: ben.id, viewer: { ...nobody, blocks: true }, counts: { posts: 0, followers: 1, following: 0 } })
    const bare = { headers: { 'Consistency-Token': '' } }
    for (const path of ['', '/followers', '/following', '/mutuals']) {
      expect((await ben.get(`/accounts/${ada.id}${path}`, bare)).status).toBe(404)
      expect((await ben.get(`/accounts/${ada.username}${path}`, bare)).status).toBe(404)
    }
    for (const [method, path] of [
      ['PUT', `/accounts/${ada.id}/follow`],
      ['DELETE', `/accounts/${ada.id}/follow`],
      ['PUT', `/accounts/${ada.id}/block`],
      ['DELETE', `/accounts/${ada.id}/block`],
      ['PUT', `/accounts/${ada.id}/close-friend`],
      ['DELETE', `/accounts/${ada.id}/close-friend`],
      ['PUT', `/me/follow-requests/${ada.id}`],
      ['DELETE', `/me/follow-requests/${ada.id}`],
      ['DELETE', `/me/followers/${ada.id}`],
    ] as const) {
      const hidden = await ben.send(method, path)
      const unknown = await ben.send(method, path.replace(ada.id, '00000000-0000-4000-8000-000000000000'))
      expect(hidden.status, `${method} ${path}`).toBe(404)
      expect(hidden.body).toEqual(unknown.body)
    }
    expect((await ben.get(`/accounts?ids=${ada.id},${cy.id}`)).body.items.map(({ id }: { id: string }) => id)).toEqual([cy.id])
  })

  it('leaves them out of lists, and fills the page again', async () => {
    const { body } = await ben.get(`/accounts/${cy.id}/following?limit=1`)
    expect(body).toMatchObject({ items: [{ id: ben.id }], nextCursor: null })
    expect(await ids(app, `/accounts/${cy.id}/following`)).toEqual([ben.id, ada.id])
  })

  it('keeps the blocked one known, without content', async () => {
    expect((await ada.get(`/accounts/${ben.id}`)).body.viewer).toEqual({ ...nobody, blocks: true })
    expect(await ids(ada, `/accounts/${ben.id}/followers`)).toEqual([])
    expect(await ids(ada, '/me/blocks')).toEqual([ben.id])
    expect((await ada.put(`/accounts/${ben.id}/follow`)).body.code).toBe('validation_failed')
  })

  it('ends, also twice, and brings nothing back', async () => {
    for (const _ of [1, 2])
      expect((await ada.delete(`/accounts/${ben.id}/block`)).body).toMatchObject({ id: ben.id, viewer: nobody })
    expect((await profile(ben, ada)).viewer).toEqual(nobody)
    expect(await ids(ada, '/me/blocks')).toEqual([])
    expect(await ids(ada, `/accounts/${ben.id}/followers`)).toEqual([cy.id])
  })

  it('is not for oneself', async () => {
    expect((await ada.put(`/accounts/${ada.id}/block`)).body.code).toBe('validation_failed')
  })

  it('lets one win where both block at once', async () => {
    const answers = await Promise.all([ada.put(`/accounts/${ben.id}/block`), ben.put(`/accounts/${ada.id}/block`)])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 404])
  })
})

describe('close friends', () => {
  beforeAll(async () => {
    await strangers()
    await ada.follow(ben)
  })

  it('are followers, and are not told', async () => {
    for (const _ of [1, 2]) {
      const { body } = await ben.put(`/accounts/${ada.id}/close-friend`, undefined, { after: ada.token })
      expect(body).toMatchObject({ id: ada.id, viewer: { ...nobody, followsYou: true, closeFriend: true } })
    }
    expect(await ids(ben, '/me/close-friends')).toEqual([ada.id])
    expect((await profile(ada, ben)).viewer).toEqual({ ...nobody, follows: true })
    expect((await ben.put(`/accounts/${cy.id}/close-friend`)).body.code).toBe('validation_failed')
  })

  it('end by themselves with the follow', async () => {
    await ada.delete(`/accounts/${ben.id}/follow`)
    expect(await ids(ben, '/me/close-friends')).toEqual([])
  })

  it('are removed, also twice', async () => {
    await ada.follow(ben)
    expect((await ben.put(`/accounts/${ada.id}/close-friend`, undefined, { after: ada.token })).status).toBe(200)
    for (const _ of [1, 2]) expect((await ben.delete(`/accounts/${ada.id}/close-friend`)).body.viewer.closeFriend).toBe(false)
    expect(await ids(ben, '/me/close-friends')).toEqual([])
  })
})

describe('an erased account', () => {
  it('leaves every list and every count', async () => {
    await strangers()
    await ada.follow(ben)
    await ben.follow(ada)
    await cy.follow(ben)
    await ben.put(`/accounts/${ada.id}/close-friend`, undefined, { after: ada.token })
    expect((await ada.post('/me/erasure', { password: ada.password })).status).toBe(202)
    expect(await ids(ben, `/accounts/${ben.id}/followers`, cy.token)).toEqual([cy.id])
    expect(await ids(ben, `/accounts/${ben.id}/following`)).toEqual([])
    expect(await ids(ben, '/me/close-friends')).toEqual([])
    expect((await ben.get(`/accounts/${ben.id}`)).body.counts).toEqual({ posts: 0, followers: 1, following: 0 })
    expect((await ben.get(`/accounts/${ada.id}`)).status).toBe(404)
    expect((await ben.put(`/accounts/${ada.id}/follow`)).status).toBe(404)
    expect((await ben.get(`/accounts?ids=${ada.id}`)).body.items).toEqual([])
  })
})

describe('a profile', () => {
  beforeAll(strangers)

  it('is open to all, by id and by name in any case', async () => {
    await ada.patch('/me', { displayName: 'Ada', bio: 'Light', website: 'https://ada.example/' })
    const expected = {
      id: ada.id,
      username: ada.username,
      displayName: 'Ada',
      bio: 'Light',
      website: 'https://ada.example/',
      avatarUrl: null,
      type: 'personal',
      isPrivate: false,
      counts: { posts: 0, followers: 0, following: 0 },
      viewer: nobody,
    }
    for (const ref of [ada.id, ada.username, ada.username.toUpperCase()]) {
      expect((await app.get(`/accounts/${ref}`, { after: ada.token })).body).toEqual(expected)
    }
    expect((await ben.get(`/accounts/${ada.id}`)).body).toEqual(expected)
  })

  it('has an ETag that a follow changes', async () => {
    const { headers } = await ben.get(`/accounts/${ada.id}`)
    const etag = headers.get('etag')!
    expect((await ben.get(`/accounts/${ada.id}`, { headers: { 'If-None-Match': etag } })).status).toBe(304)
    await ben.follow(ada)
    expect((await ben.get(`/accounts/${ada.id}`, { headers: { 'If-None-Match': etag } })).status).toBe(200)
  })

  it('counts posts for the public and for followers', async () => {
    for (const audience of ['public', 'followers', 'close_friends']) await ada.publish({ audience })
    expect((await app.get(`/accounts/${ada.id}`, { after: ada.token })).body.counts.posts).toBe(2)
  })

  it('is read in numbers, in the order asked, each once, the unknown left out', async () => {
    const asked = [cy.id, '00000000-0000-4000-8000-000000000000', ada.id, cy.id]
    const { body } = await app.get(`/accounts?ids=${asked}`)
    expect(body.nextCursor).toBeNull()
    expect(body.items.map(({ id }: { id: string }) => id)).toEqual([cy.id, ada.id])
    expect(body.items[1]).toEqual((await app.get(`/accounts/${ada.id}`)).body)
  })

  it.each(['', '?ids=', '?ids=ada', '?ids=1,2', `?ids=${Array(101).fill('00000000-0000-4000-8000-000000000000')}`, '?id=1'])(
    'refuses a batch of %s',
    async query => expect((await app.get(`/accounts${query}`)).status).toBe(422),
  )

  it.each(['limit=0', 'limit=101', 'limit=x', 'order=asc', 'limit=1&limit=2'])('refuses a list with %s', async query =>
    expect((await app.get(`/accounts/${ada.id}/followers?${query}`)).status).toBe(422),
  )

  it.each(['x', '%00', 'a'.repeat(2_000)])('refuses the cursor %s', async cursor =>
    expect([400, 422]).toContain((await app.get(`/accounts/${ada.id}/followers?cursor=${cursor}`)).status),
  )
})
