import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Person, type TestApp, testApp } from '../support/app.ts'

let app: TestApp
beforeAll(async () => {
  app = await testApp()
})
afterAll(() => app.stop())

const people = <N extends number>(n: N): Promise<Person[]> => Promise.all(Array.from({ length: n }, () => app.signUp()))
const tokens = (others: readonly Person[]) => ({ after: others.flatMap(({ token }) => token ?? []).join(', ') })

/** What a person is told, with everything that these others did before. */
const told = async (person: Person, ...others: Person[]) => {
  const { status, body } = await person.get('/notifications', tokens(others))
  expect(status, JSON.stringify(body)).toBe(200)
  return body.items as {
    id: string
    type: string
    at: string
    actors: { id: string }[]
    count: number
    post: { id: string } | null
    comment: { id: string } | null
    seen: boolean
  }[]
}
const types = async (person: Person, ...others: Person[]) => (await told(person, ...others)).map(({ type }) => type)
const unseen = async (person: Person, ...others: Person[]) =>
  (await person.get('/notifications/unseen', tokens(others))).body.count
const say = async (person: Person, postId: string, text: string, parentId?: string) => {
  const answer = await person.post(`/posts/${postId}/comments`, { text, ...(parentId === undefined ? {} : { parentId }) })
  expect(answer.status, JSON.stringify(answer.body)).toBe(201)
  return answer.body
}

describe('notifications', () => {
  it('tell of likes, grouped by what is liked, the newest actors first', async () => {
    const [ada, ...others] = (await people(6)) as [Person, ...Person[]]
    const post = await ada.publish()
    for (const other of others) await other.put(`/posts/${post.id}/like`, undefined, { after: ada.token })
    await ada.put(`/posts/${post.id}/like`)
    const [like, ...more] = await told(ada, ...others)
    expect(more).toEqual([])
    expect(like).toMatchObject({ type: 'like', count: 5, seen: false, comment: null, post: { id: post.id } })
    expect(like!.actors.map(({ id }) => id)).toEqual(
      others
        .map(({ id }) => id)
        .reverse()
        .slice(0, 3),
    )
    const { status, headers } = await app.get((like!.post as unknown as { thumbnailUrl: string }).thumbnailUrl)
    expect([status, headers.get('content-type')]).toEqual([200, 'image/jpeg'])
    await others[4]!.delete(`/posts/${post.id}/like`)
    expect(await told(ada, others[4]!)).toMatchObject([{ count: 4, actors: [{ id: others[3]!.id }, {}, {}] }])
  })

  it('tell of comments, replies and mentions, each account once', async () => {
    const [ada, ben, eve] = (await people(3)) as [Person, Person, Person]
    const post = await ada.publish({ caption: `With @${eve.username}` })
    expect(await told(eve, ada)).toMatchObject([
      { type: 'mention', actors: [{ id: ada.id }], count: 1, post: { id: post.id }, comment: null },
    ])
    const remark = await say(ben, post.id, `What light, @${ada.username}!`)
    expect(await told(ada, ben)).toMatchObject([
      { type: 'mention', comment: { id: remark.id, text: `What light, @${ada.username}!` } },
    ])
    const answer = await say(eve, post.id, `Is it, @${ben.username}?`, remark.id)
    expect(await told(ben, eve)).toMatchObject([{ type: 'reply', actors: [{ id: eve.id }], comment: { id: answer.id } }])
    expect(await types(ada, eve)).toEqual(['comment', 'mention'])
    await eve.put(`/comments/${remark.id}/like`)
    expect(await told(ben, eve)).toMatchObject([{ type: 'like', comment: { id: remark.id } }, { type: 'reply' }])
    await ben.delete(`/comments/${remark.id}`)
    expect(await types(ben)).toEqual([])
    expect(await types(ada, ben)).toEqual([])
  })

  it('tell of follows, requests and their acceptance', async () => {
    const [ada, ben, eve] = (await people(3)) as [Person, Person, Person]
    await ben.follow(ada)
    await eve.follow(ada)
    expect(await told(ada, ben, eve)).toMatchObject([
      { type: 'follow', count: 2, actors: [{ id: eve.id }, { id: ben.id }], post: null },
    ])
    await eve.delete(`/accounts/${ada.id}/follow`)
    expect(await told(ada, eve)).toMatchObject([{ type: 'follow', count: 1, actors: [{ id: ben.id }] }])
    await ada.put('/me/account-type', { type: 'private' })
    await eve.follow(ada)
    expect(await types(ada, eve)).toEqual(['follow_request', 'follow'])
    await ada.put(`/me/follow-requests/${eve.id}`)
    expect(await types(ada)).toEqual(['follow'])
    expect(await told(eve, ada)).toMatchObject([{ type: 'follow_accepted', actors: [{ id: ada.id }] }])
  })

  it('show no act of whom one blocks or is blocked by, and come back with the end of the block', async () => {
    const [ada, ben, eve] = (await people(3)) as [Person, Person, Person]
    const post = await ada.publish()
    for (const other of [ben, eve]) {
      await other.put(`/posts/${post.id}/like`, undefined, { after: ada.token })
      await say(other, post.id, 'What light!')
    }
    expect(await types(ada, ben, eve)).toEqual(['comment', 'like', 'comment'])
    await ada.put(`/accounts/${ben.id}/block`)
    expect(await told(ada)).toMatchObject([
      { type: 'comment', actors: [{ id: eve.id }] },
      { type: 'like', count: 1, actors: [{ id: eve.id }] },
    ])
    expect(await unseen(ada)).toBe(2)
    await eve.put(`/accounts/${ada.id}/block`)
    expect(await told(ada, eve)).toEqual([])
    await ada.delete(`/accounts/${ben.id}/block`)
    expect(await types(ada, eve)).toEqual(['like', 'comment'])
  })

  it('are counted as unseen beyond the first page, too', async () => {
    const [ada, ben] = (await people(2)) as [Person, Person]
    const post = await ada.publish()
    for (let n = 0; n < 22; n++) await say(ben, post.id, `remark ${n}`)
    expect(await unseen(ada, ben)).toBe(22)
    const all = (await ada.get('/notifications?limit=50')).body.items as { id: string }[]
    for (const [index, count] of [
      [21, 21],
      [20, 20],
      [19, 19],
      [0, 0],
    ] as const) {
      expect((await ada.put('/notifications/seen', { upToId: all[index]!.id })).body.count).toBe(count)
      expect(await unseen(ada)).toBe(count)
    }
  })

  it('leave out what may not be seen any more', async () => {
    const [ada, ben] = (await people(2)) as [Person, Person]
    await ben.follow(ada)
    await ada.put('/me/account-type', { type: 'private' })
    await ada.publish({ caption: `With @${ben.username}` })
    expect(await types(ben, ada)).toEqual(['mention'])
    await ada.delete(`/me/followers/${ben.id}`)
    expect(await types(ben, ada)).toEqual([])
    expect(await unseen(ben)).toBe(0)
  })

  it('are seen up to the newest, or up to one of them', async () => {
    const [ada, ben] = (await people(2)) as [Person, Person]
    const post = await ada.publish()
    for (const text of ['one', 'two', 'three']) await say(ben, post.id, text)
    expect(await unseen(ada, ben)).toBe(3)
    const [, second] = await told(ada, ben)
    const answer = await ada.put('/notifications/seen', { upToId: second!.id })
    expect(answer.status).toBe(200)
    expect((await told(ada)).map(({ seen }) => seen)).toEqual([false, true, true])
    expect(await unseen(ada)).toBe(1)
    expect((await ada.put('/notifications/seen')).status).toBe(200)
    expect((await ada.put('/notifications/seen', {})).status).toBe(200)
    expect(await unseen(ada)).toBe(0)
    await say(ben, post.id, 'four')
    expect(await unseen(ada, ben)).toBe(1)
    expect((await ada.put('/notifications/seen', { upToId: null })).status).toBe(200)
    expect(await unseen(ada)).toBe(0)
  })

  it('are paged without gap or double', async () => {
    const [ada, ben] = (await people(2)) as [Person, Person]
    const post = await ada.publish()
    for (let n = 0; n < 9; n++) await say(ben, post.id, `remark ${n}`)
    const all = (await told(ada, ben)).map(({ id }) => id)
    const paged: string[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await ada.get(`/notifications?limit=4${cursor && `&cursor=${cursor}`}`)
      paged.push(...body.items.map(({ id }: { id: string }) => id))
      cursor = body.nextCursor
    }
    expect(all).toHaveLength(9)
    expect(paged).toEqual(all)
  })

  it('are nobody else’s', async () => {
    const [ada, ben] = (await people(2)) as [Person, Person]
    const post = await ada.publish()
    await ben.put(`/posts/${post.id}/like`, undefined, { after: ada.token })
    const [like] = await told(ada, ben)
    expect(await told(ben)).toEqual([])
    const refused = await ben.put('/notifications/seen', { upToId: like!.id })
    expect(refused).toMatchObject({ status: 422, body: { errors: [{ path: '/upToId' }] } })
    expect((await ben.put('/notifications/seen', { upToId: randomUUID() })).status).toBe(422)
    expect((await ben.put('/notifications/seen', { upTo: like!.id })).status).toBe(422)
    for (const path of ['/notifications', '/notifications/unseen']) expect((await app.get(path)).status).toBe(401)
  })
})
