import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { measureFanOut } from '../../src/commands/feed.ts'
import { sql } from '../../src/kernel/sql.ts'
import { feedModel } from '../../src/projections/feed/project.ts'
import { relationshipsModel } from '../../src/projections/relationships/project.ts'
import { type Person, type TestApp, testApp } from '../support/app.ts'

let app: TestApp
beforeAll(async () => {
  app = await testApp()
})
afterAll(() => app.stop())

const people = (n: number): Promise<Person[]> => Promise.all(Array.from({ length: n }, () => app.signUp()))

/** The ids of the whole feed, page by page, with everything that these people did before. */
async function feed(viewer: Person, limit = 20, ...others: Person[]): Promise<string[]> {
  const after = others.flatMap(({ token }) => token ?? []).join(', ')
  const ids: string[] = []
  for (let cursor: string | null = null; ; ) {
    const { status, body } = await viewer.get(`/feed?limit=${limit}${cursor === null ? '' : `&cursor=${cursor}`}`, { after })
    expect(status, JSON.stringify(body)).toBe(200)
    expect(body.items.length).toBeLessThanOrEqual(limit)
    ids.push(...body.items.map(({ id }: { id: string }) => id))
    if (body.nextCursor === null) return ids
    expect(body.items).toHaveLength(limit)
    cursor = body.nextCursor
  }
}

const grid = async (viewer: Person, author: Person): Promise<string[]> => {
  const { body } = await viewer.get(`/accounts/${author.id}/posts?limit=100`, { after: author.token })
  return body.items.map(({ id }: { id: string }) => id)
}

describe('the home feed', () => {
  it('holds the own posts and those of the accounts followed, as these post them, newest first', async () => {
    const [ada, ben, eve] = (await people(3)) as [Person, Person, Person]
    await ada.follow(ben)
    const first = await ben.publish({ caption: 'First light' })
    const second = await ada.publish()
    await eve.publish()
    const { body } = await ada.get('/feed', { after: [ben.token, eve.token].join() })
    expect(body.items.map(({ id }: { id: string }) => id)).toEqual([second.id, first.id])
    expect(body.items[1]).toMatchObject({
      kind: 'post',
      caption: 'First light',
      author: { id: ben.id, viewer: { follows: true } },
    })
    expect(body.nextCursor).toBeNull()
    expect(await feed(ben, 20, ada)).toEqual([first.id])
  })

  it('is paged without gap or double', async () => {
    const [ada, ben] = (await people(2)) as [Person, Person]
    await ada.follow(ben)
    for (let n = 0; n < 10; n++)
      await Promise.all([ada.publish(), ben.publish(), ben.publish(), ada.publish(), ben.publish(), ada.publish()])
    const ids = await feed(ada, 7, ben)
    expect(new Set(ids).size).toBe(60)
    const [mine, theirs] = [await grid(ada, ada), await grid(ada, ben)]
    expect(ids).toHaveLength(60)
    expect(ids.filter(id => mine.includes(id))).toEqual(mine)
    expect(ids.filter(id => theirs.includes(id))).toEqual(theirs)
    expect(await feed(ada, 60, ben)).toEqual(ids)
  }, 120_000)

  it('gets older posts by a new follow, and loses them with it', async () => {
    const [ada, ben] = (await people(2)) as [Person, Person]
    const older = [(await ben.publish()).id, (await ben.publish()).id]
    expect(await feed(ada, 20, ben)).toEqual([])
    await ada.follow(ben)
    expect(await feed(ada)).toEqual(older.toReversed())
    await ada.delete(`/accounts/${ben.id}/follow`)
    expect(await feed(ada)).toEqual([])
    expect(await feed(ben)).toEqual(older.toReversed())
  })

  it('loses the posts of an account that one blocks, and of one that blocks, for both at once', async () => {
    const [ada, ben] = (await people(2)) as [Person, Person]
    await ada.follow(ben)
    await ben.follow(ada)
    await ada.publish()
    await ben.publish()
    expect(await feed(ada, 20, ben)).toHaveLength(2)
    await ada.put(`/accounts/${ben.id}/block`)
    // Without the token: a command that narrows holds for everybody once it is answered.
    const { body } = await app.get('/feed', { headers: { Authorization: `Bearer ${ben.session.accessToken}` } })
    expect(body.items.map(({ author }: { author: { id: string } }) => author.id)).toEqual([ben.id])
    expect(await feed(ada)).toHaveLength(1)
  })

  it('shows nothing of what is not for the viewer, and fills its pages all the same', async () => {
    const [ada, ben] = (await people(2)) as [Person, Person]
    await ada.follow(ben)
    const shown: string[] = []
    for (let n = 0; n < 4; n++) {
      await ben.publish({ audience: 'close_friends' })
      shown.push((await ben.publish({ audience: 'followers' })).id)
      await ben.publish({ audience: 'close_friends' })
    }
    expect(await feed(ada, 2, ben)).toEqual(shown.toReversed())
  })

  it('of a follower whom a private account removes is without its posts at once', async () => {
    const [ada, ben] = (await people(2)) as [Person, Person]
    await ada.follow(ben)
    await ben.put('/me/account-type', { type: 'private' })
    const post = await ben.publish()
    expect(await feed(ada, 20, ben)).toEqual([post.id])
    await ben.delete(`/me/followers/${ada.id}`)
    const { body } = await app.get('/feed', { headers: { Authorization: `Bearer ${ada.session.accessToken}` } })
    expect(body.items).toEqual([])
  })

  it('loses deleted posts, and all of an erased account', async () => {
    const [ada, ben] = (await people(2)) as [Person, Person]
    await ada.follow(ben)
    const [first, second] = [await ben.publish(), await ben.publish()]
    await ben.delete(`/posts/${second.id}`)
    expect(await feed(ada, 20, ben)).toEqual([first.id])
    const erasure = await ben.post('/me/erasure', { password: ben.password })
    expect(erasure.status, JSON.stringify(erasure.body)).toBe(202)
    expect(await feed(ada)).toEqual([])
  })

  it('shows the posts of an author whose fan-out is stopped and resumed as those of any other', async () => {
    const [ada, ben, eve] = (await people(3)) as [Person, Person, Person]
    await ada.follow(ben)
    await eve.follow(ben)
    const { commands, db } = app.app
    const ready = async (): Promise<number> => {
      await commands.settled(await app.app.store.head(), [feedModel])
      const rows = await db.run(sql`select from ${feedModel.t.entries} where viewer = ${ada.id}`)
      return rows.length
    }
    const measure = async (position: number): Promise<void> => {
      await commands.settled(position, [feedModel, relationshipsModel])
      const house = { id: null, sessionId: null, correlationId: 'test' }
      await measureFanOut(commands, ben.id, { stopAt: 2, resumeAt: 1 }, house)
    }
    const posts = [(await ben.publish()).id]
    await measure(await app.app.store.head())
    posts.push((await ben.publish()).id)
    expect(await ready()).toBe(1)
    await eve.delete(`/accounts/${ben.id}/follow`)
    await measure(await app.app.store.head())
    posts.push((await ben.publish()).id)
    expect(await ready()).toBe(2)
    expect(await feed(ada, 1, ben)).toEqual(posts.toReversed())
  })

  it('refuses what it does not know', async () => {
    const [ada, ben] = (await people(2)) as [Person, Person]
    await ben.publish()
    await ben.publish()
    const { body } = await ben.get('/feed?limit=1')
    expect(body.nextCursor).toEqual(expect.any(String))
    const code = async (query: string) => {
      const { status, body } = await ada.get(`/feed?${query}`)
      return [status, body.code]
    }
    expect(await code('order=ranked')).toEqual([422, 'validation_failed'])
    expect(await code('limit=0')).toEqual([422, 'validation_failed'])
    expect(await code('limit=101')).toEqual([422, 'validation_failed'])
    expect(await code('cursor=AAAA')).toEqual([400, 'cursor_invalid'])
    expect(await code(`cursor=${body.nextCursor}`)).toEqual([400, 'cursor_invalid'])
    expect((await app.get('/feed')).status).toBe(401)
  })
})
