import { afterAll, beforeAll, expect, it } from 'vitest'
import { verify } from '../../src/kernel/projecting/verify.ts'
import { readModels } from '../../src/projections/models.ts'
import { type Person, picture, type TestApp, testApp } from '../support/app.ts'
import { listenLive } from '../support/live.ts'

let app: TestApp
beforeAll(async () => {
  app = await testApp()
})
afterAll(() => app.stop())

it('the whole way of one photo', async () => {
  const ada = await app.signUp('ada', { displayName: 'Ada' })
  const bob = await app.signUp('bob')
  expect(await bob.follow(ada)).toMatchObject({
    id: ada.id,
    state: 'following',
    viewer: { follows: true },
    counts: { followers: 1 },
  })

  const hears = await listenLive(app, bob)
  const watches = await listenLive(app, ada)

  // A real upload: several megapixels, turned, with a place in its metadata.
  const { default: sharp } = await import('sharp')
  const photo = await sharp(await picture(1600, 1200))
    .withExif({ IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '43/1 28/1 2814/100' } })
    .withMetadata({ orientation: 6 })
    .jpeg()
    .toBuffer()
  const media = await ada.upload(photo)
  expect(media).toMatchObject({ kind: 'image', status: 'ready', width: 1200, height: 1600 })
  const before = await ada.post(
    '/posts',
    { media: [{ id: media.id, altText: 'A lamp' }], caption: 'First light with @bob #Morning' },
    { headers: { 'Idempotency-Key': 'photo-1' } },
  )
  expect(before.status).toBe(201)
  const again = await ada.post(
    '/posts',
    { media: [{ id: media.id, altText: 'A lamp' }], caption: 'First light with @bob #Morning' },
    { headers: { 'Idempotency-Key': 'photo-1' } },
  )
  expect(again.body.id).toBe(before.body.id)
  const post = before.body
  expect(post).toMatchObject({
    caption: 'First light with @bob #Morning',
    hashtags: ['morning'],
    mentions: [{ username: 'bob' }],
    counts: { likes: 0, comments: 0 },
  })

  const told = await hears.next('feed.post')
  expect(told.data.post.id).toBe(post.id)
  expect((await hears.next('notification.created')).data.notification).toMatchObject({ type: 'mention', post: { id: post.id } })
  const feed = await bob.get('/feed')
  expect(feed.body.items).toHaveLength(1)
  expect(feed.body.items[0]).toMatchObject({ kind: 'post', id: post.id, media: [{ altText: 'A lamp' }] })
  const file = await app.get(feed.body.items[0].media[0].renditions.at(-1).url)
  expect(file.status).toBe(200)
  expect(await sharp(file.body).metadata()).toMatchObject({ width: 1200, height: 1600 })
  expect((await sharp(file.body).metadata()).exif).toBeUndefined()

  watches.say({ type: 'subscribe', topic: `post:${post.id}` })
  expect((await watches.next('post.counts')).data).toMatchObject({ likes: 0, comments: 0 })
  expect((await bob.put(`/posts/${post.id}/like`)).body).toMatchObject({
    id: post.id,
    viewer: { liked: true },
    counts: { likes: 1 },
  })
  const comment = await bob.post(`/posts/${post.id}/comments`, { text: 'What light, @ada!' })
  expect(comment.status).toBe(201)
  await expect.poll(() => watches.of('post.counts').at(-1)?.data, { timeout: 10_000 }).toMatchObject({ likes: 1, comments: 1 })
  expect((await watches.next('notification.created', 2)).data.notification.comment.text).toBe('What light, @ada!')
  const reply = await ada.post(
    `/posts/${post.id}/comments`,
    { text: 'Thank you', parentId: comment.body.id },
    { after: bob.token },
  )
  expect(reply.body).toMatchObject({ parentId: comment.body.id, author: { username: 'ada' } })
  expect((await bob.get('/notifications', { after: ada.token })).body.items.map(({ type }: { type: string }) => type)).toEqual([
    'reply',
    'mention',
  ])
  expect((await ada.get(`/posts/${post.id}`, { after: bob.token })).body.counts).toMatchObject({ likes: 1, comments: 2 })

  // It goes as it came: for everybody, on every way.
  expect((await ada.delete(`/posts/${post.id}`)).status).toBe(200)
  expect((await hears.next('post.removed')).data).toEqual({ postId: post.id })
  expect((await bob.get('/feed')).body.items).toEqual([])
  expect((await bob.get(`/posts/${post.id}`)).status).toBe(404)
  expect((await app.get(feed.body.items[0].media[0].renditions[0].url)).status).toBe(404)
  expect((await bob.get('/notifications')).body.items).toEqual([])
  for (const listener of [hears, watches]) listener.end()
})

it('an account goes, and nothing of it stays: not a word in the log, not a row, not a picture', async () => {
  const eve = await app.signUp('evening.primrose', { displayName: 'Oenothera biennis' })
  const friend = await app.signUp('friend')
  await friend.follow(eve)
  await eve.patch('/me', { bio: 'blooms at dusk' })
  const post = await eve.publish({ caption: 'yellow in the dark' })
  const shown = (await friend.get(`/posts/${post.id}`, { after: eve.token })).body.media[0].renditions[0].url
  const friends = await friend.publish({ caption: 'mine' })
  await eve.post(`/posts/${friends.id}/comments`, { text: 'so pale a yellow' }, { after: friend.token })
  await eve.put(`/posts/${friends.id}/like`)
  expect((await friend.get(`/posts/${friends.id}`, { after: eve.token })).body.counts).toMatchObject({ likes: 1, comments: 1 })

  const asked = await eve.post('/me/erasure')
  expect(asked.status).toBe(202)
  for (const path of [`/accounts/${eve.id}`, '/accounts/evening.primrose', `/posts/${post.id}`])
    expect((await friend.get(path)).status).toBe(404)
  expect((await app.get(shown)).status).toBe(404)
  expect((await friend.get(`/posts/${friends.id}`, { after: asked.token })).body.counts).toMatchObject({ likes: 0, comments: 0 })
  expect((await eve.get('/me')).status).toBe(401)
  await expect
    .poll(async () => (await app.get(`/erasures/${asked.body.erasure.id}`)).body, { timeout: 10_000 })
    .toMatchObject({ status: 'completed' })

  const words = ['primrose', 'Oenothera', 'dusk', 'yellow', 'evening']
  const kept = JSON.stringify(await everything(app))
  for (const word of words) expect(kept).not.toContain(word)
  // The name is free again.
  await expect.poll(async () => (await app.get('/usernames/evening.primrose')).body.available, { timeout: 10_000 }).toBe(true)
})

/** Every row of every table of the database. */
async function everything({ app: { db } }: TestApp): Promise<unknown[]> {
  const { sql } = await import('../../src/kernel/sql.ts')
  const tables = await db.run<{ name: string }>(
    sql`select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema')`,
  )
  const found: unknown[] = []
  for (const { name } of tables) found.push(...(await db.run(sql.raw(`select to_jsonb(t) as row from ${name} t`))))
  expect(found.length).toBeGreaterThan(50)
  return found
}

it('read models equal what the log gives after all that', async () => {
  for (const model of readModels) expect(await verify(app.app, model), model.name).toMatchObject({ differences: [], more: 0 })
})

it('two nodes on one log: what one writes, the other reads with its token; what is taken away is gone on both', async () => {
  const other = await testApp({ databaseUrl: app.databaseUrl, mediaDir: app.mediaDir, secret: app.secret })
  try {
    const ada = await app.signUp('node.one')
    const there = Object.assign(Object.create(Object.getPrototypeOf(ada)) as Person, ada)
    const bob = await other.signUp('node.two')
    await bob.put(`/accounts/${ada.id}/follow`, undefined, { after: ada.token })
    const hears = await listenLive(other, bob)
    const post = await ada.publish({ caption: 'across' })
    expect((await hears.next('feed.post')).data.post.caption).toBe('across')
    expect(
      (
        await other.send('GET', `/posts/${post.id}`, {
          headers: { Authorization: `Bearer ${there.session.accessToken}` },
          after: ada.token,
        })
      ).status,
    ).toBe(200)
    // No token from here on: acknowledged is acknowledged for everybody.
    await ada.put(`/accounts/${bob.id}/block`, undefined, { after: bob.token })
    expect(
      (await other.send('GET', `/posts/${post.id}`, { headers: { Authorization: `Bearer ${bob.session.accessToken}` } })).status,
    ).toBe(404)
    await ada.delete(`/sessions/${ada.session.id}`)
    expect((await other.send('GET', '/me', { headers: { Authorization: `Bearer ${ada.session.accessToken}` } })).body.code).toBe(
      'session_revoked',
    )
    hears.end()
  } finally {
    await other.stop()
  }
})
