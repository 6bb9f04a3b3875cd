import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attachMedia } from '../../src/commands/media.ts'
import { mediaFolder } from '../../src/reading/pictures.ts'
import { type Person, type TestApp, testApp } from '../support/app.ts'

let app: TestApp
let ada: Person
let ben: Person
let cy: Person
beforeAll(async () => {
  app = await testApp()
  ada = await app.signUp('ada')
  ben = await app.signUp('ben')
  cy = await app.signUp('cy')
  await ben.follow(ada)
})
afterAll(() => app.stop())

const newMedia = async (who: Person, n: number): Promise<{ id: string }[]> => {
  const media: { id: string }[] = []
  for (let i = 0; i < n; i++) media.push({ id: (await who.upload()).id })
  return media
}

describe('publishing', () => {
  it('answers 201 with the post as everybody gets it', async () => {
    const media = await newMedia(ada, 2)
    const answer = await ada.post('/posts', {
      media: [{ ...media[0]!, altText: 'A pier' }, media[1]],
      caption: 'First light with @ben and @nobody_here #Dawn #dawn',
      location: { name: ' West Pier ', lat: 50.8, lng: -0.1 },
    })
    expect(answer.status).toBe(201)
    expect(answer.token).not.toBeNull()
    expect(answer.headers.get('location')).toBe(`/v1/posts/${answer.body.id}`)
    expect(answer.body).toMatchObject({
      author: { id: ada.id, username: 'ada' },
      media: [
        { id: media[0]!.id, altText: 'A pier', kind: 'image', status: 'ready', width: 64, height: 48 },
        { id: media[1]!.id, altText: null },
      ],
      caption: 'First light with @ben and @nobody_here #Dawn #dawn',
      hashtags: ['dawn'],
      mentions: [{ id: ben.id, username: 'ben' }],
      location: { name: 'West Pier', lat: 50.8, lng: -0.1 },
      audience: 'public',
      editedAt: null,
      counts: { likes: 0, comments: 0 },
      viewer: { liked: false, canComment: true, canEdit: true, canDelete: true },
    })
    const read = await ada.get(`/posts/${answer.body.id}`)
    expect(read.body).toEqual(answer.body)
    expect(read.headers.get('etag')).toBe(answer.headers.get('etag'))
    const theirs = (await ben.get(`/posts/${answer.body.id}`)).body
    expect(theirs.viewer).toEqual({ liked: false, canComment: true, canEdit: false, canDelete: false })
    const signedOut = (await app.get(`/posts/${answer.body.id}`)).body
    expect(signedOut).toMatchObject({ id: answer.body.id, viewer: { canComment: false, canEdit: false } })
  })

  it('takes white space for no caption, and keeps a caption as it was sent, in NFC', async () => {
    expect((await ada.publish({ caption: ' \n\t' })).caption).toBeNull()
    expect((await ada.publish({ caption: ' <b>cafe\u0301</b> &amp; ' })).caption).toBe(' <b>café</b> &amp; ')
    expect((await ada.publish({ caption: null, location: null })).caption).toBeNull()
  })

  it('counts characters as people do', async () => {
    expect((await ada.publish({ caption: '🌅'.repeat(2_200) })).caption).toHaveLength(4_400)
    const [medium] = await newMedia(ada, 1)
    const long = await ada.post('/posts', { media: [medium], caption: 'x'.repeat(2_201) })
    expect(long).toMatchObject({ status: 422, body: { code: 'validation_failed', errors: [{ path: '/caption' }] } })
  })

  it.each<[string, object, string]>([
    ['31 hashtags', { caption: Array.from({ length: 31 }, (_, n) => `#t${n}`).join(' ') }, '/caption'],
    ['21 mentions', { caption: Array.from({ length: 21 }, (_, n) => `@t${n}`).join(' ') }, '/caption'],
    ['a NUL', { caption: 'a\0b' }, '/caption'],
    ['half a character', { caption: 'a\ud800b' }, '/caption'],
    ['a number for a caption', { caption: 7 }, '/caption'],
    ['a place without a name', { location: { name: ' ', lat: 0, lng: 0 } }, '/location/name'],
    ['a place off the globe', { location: { name: 'x', lat: 91, lng: 0 } }, '/location/lat'],
    ['half a place', { location: { name: 'x', lat: 9 } }, '/location/lng'],
    ['a placeId', { location: { placeId: randomUUID() } }, '/location/placeId'],
    ['an unknown audience', { audience: 'friends' }, '/audience'],
    ['no named account', { audience: { accountIds: [] } }, '/audience/accountIds'],
    ['an unknown account', { audience: { accountIds: [randomUUID()] } }, '/audience/accountIds/0'],
    ['unknown comments', { comments: 'nobody' }, '/comments'],
    ['collaborators', { collaboratorIds: [] }, '/collaboratorIds'],
    ['a time to publish', { publishAt: '2030-01-01T00:00:00Z' }, '/publishAt'],
  ])('refuses %s, with its place, and leaves the picture free', async (_, fields, path) => {
    const media = await newMedia(ada, 1)
    const answer = await ada.post('/posts', { media, ...fields })
    expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: 422, body: { code: 'validation_failed' } })
    expect(answer.body.errors.map((error: { path: string }) => error.path)).toContain(path)
    expect((await ada.post('/posts', { media })).status).toBe(201)
  })

  it.each<[string, () => Promise<unknown>, string, string]>([
    ['none', async () => [], 'validation_failed', '/media'],
    ['21', async () => Array.from({ length: 21 }, () => ({ id: randomUUID() })), 'validation_failed', '/media'],
    ['a malformed id', async () => [{ id: 'x' }], 'validation_failed', '/media/0/id'],
    ['an unknown one', async () => [...(await newMedia(ada, 1)), { id: randomUUID() }], 'media_not_found', '/media/1/id'],
    ['another’s', () => newMedia(ben, 1), 'media_not_found', '/media/0/id'],
    ['one used before', async () => [{ id: (await ada.publish()).media[0].id }], 'media_in_use', '/media/0/id'],
    ['people tags', async () => [{ ...(await newMedia(ada, 1))[0], tags: [] }], 'validation_failed', '/media/0/tags'],
    [
      'a long alt text',
      async () => [{ ...(await newMedia(ada, 1))[0], altText: 'x'.repeat(1_001) }],
      'validation_failed',
      '/media/0/altText',
    ],
  ])('refuses as media %s', async (_, media, code, path) => {
    const answer = await ada.post('/posts', { media: await media() }, { after: ben.token })
    expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: 422, body: { code, errors: [{ path }] } })
  })

  it('refuses one picture twice', async () => {
    const [medium] = await newMedia(ada, 1)
    expect(await ada.post('/posts', { media: [medium, medium] })).toMatchObject({
      status: 422,
      body: { errors: [{ path: '/media' }] },
    })
  })

  it('needs somebody signed in', async () => expect((await app.post('/posts', { media: [] })).status).toBe(401))
})

describe('pictures and posts that never come', () => {
  it('a refused post leaves its pictures free', async () => {
    const media = await newMedia(ada, 3)
    const refused = await ada.post('/posts', { media: [...media, { id: randomUUID() }] })
    expect(refused.body.code).toBe('media_not_found')
    expect((await ada.post('/posts', { media })).status).toBe(201)
  })

  it('a picture is taken over from a post that crashed before it was there, which then never comes', async () => {
    const media = await newMedia(ada, 1)
    const crashed = randomUUID()
    const actor = { id: ada.id, sessionId: null, correlationId: 'crash' }
    await attachMedia(app.app.commands, actor, media[0]!.id, { kind: 'post', postId: crashed })
    const post = await ada.post('/posts', { media })
    expect(post.status).toBe(201)
    await expect(attachMedia(app.app.commands, actor, media[0]!.id, { kind: 'post', postId: crashed })).rejects.toMatchObject({
      code: 'media_in_use',
    })
    expect((await ada.get(`/posts/${post.body.id}`)).status).toBe(200)
  })

  it('of two that want the same pictures at once one wins', async () => {
    for (let round = 0; round < 5; round++) {
      const media = await newMedia(ada, 3)
      const answers = await Promise.all([ada.post('/posts', { media }), ada.post('/posts', { media: media.toReversed() })])
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 422])
      expect(answers.find(({ status }) => status === 422)!.body.code).toBe('media_in_use')
      const won = answers.find(({ status }) => status === 201)!.body
      expect(won.media).toHaveLength(3)
    }
  })
})

describe('a repeat with its Idempotency-Key', () => {
  it('answers the same post, whatever the order of members, also at once', async () => {
    const headers = { 'Idempotency-Key': randomUUID() }
    const media = await newMedia(ada, 2)
    const first = { media, caption: 'once' }
    const [one, two] = await Promise.all([
      ada.post('/posts', first, { headers }),
      ada.post('/posts', { caption: 'once', media }, { headers }),
    ])
    expect([one.status, two.status]).toEqual([201, 201])
    expect(two.body).toEqual(one.body)
    expect((await ada.post('/posts', first, { headers })).body).toEqual(one.body)
  })

  it('with another body is refused, and takes no picture', async () => {
    const headers = { 'Idempotency-Key': randomUUID() }
    const [a, b] = await newMedia(ada, 2)
    expect((await ada.post('/posts', { media: [a] }, { headers })).status).toBe(201)
    const other = await ada.post('/posts', { media: [b] }, { headers })
    expect(other).toMatchObject({ status: 422, body: { code: 'idempotency_key_reused' } })
    expect((await ada.post('/posts', { media: [b] })).status).toBe(201)
  })

  it('presents the post as it is now, and 404 when it is gone', async () => {
    const headers = { 'Idempotency-Key': randomUUID() }
    const draft = { media: await newMedia(ada, 1) }
    const { id } = (await ada.post('/posts', draft, { headers })).body
    await ada.patch(`/posts/${id}`, { caption: 'later' })
    expect((await ada.post('/posts', draft, { headers })).body).toMatchObject({ id, caption: 'later' })
    await ada.delete(`/posts/${id}`)
    expect((await ada.post('/posts', draft, { headers })).status).toBe(404)
  })
})

describe('reading', () => {
  it('answers 304 to who has it, and anew once somebody likes it', async () => {
    const post = await ada.publish()
    const etag = (await ada.get(`/posts/${post.id}`)).headers.get('etag')!
    expect(etag).toMatch(/^"0\.[\w-]+"$/)
    const known = { headers: { 'If-None-Match': etag } }
    expect((await ada.get(`/posts/${post.id}`, known)).status).toBe(304)
    const liked = await ben.put(`/posts/${post.id}/like`)
    expect(liked.status).toBe(200)
    const anew = await ada.get(`/posts/${post.id}`, { ...known, after: ben.token })
    expect(anew).toMatchObject({ status: 200, body: { counts: { likes: 1 }, viewer: { liked: false } } })
    expect((await ben.get(`/posts/${post.id}`)).body.viewer.liked).toBe(true)
  })

  it('reads several in the order asked, without what may not be seen', async () => {
    const [one, two, secret] = [await ada.publish(), await ada.publish(), await ada.publish({ audience: 'close_friends' })]
    const ids = [two.id, secret.id, randomUUID(), one.id, two.id].join(',')
    const read = await ben.get(`/posts?ids=${ids}`, { after: ada.token })
    expect(read.body.items.map(({ id }: { id: string }) => id)).toEqual([two.id, one.id])
    expect(read.body.nextCursor).toBeNull()
    expect((await app.get('/posts?ids=x')).status).toBe(422)
    expect((await app.get('/posts')).status).toBe(422)
    expect((await app.get(`/posts?ids=${Array.from({ length: 101 }, () => randomUUID()).join(',')}`)).status).toBe(422)
  })

  it.each(['x', randomUUID(), randomUUID().toUpperCase()])('knows no post %s', async id => {
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      expect((await ada.send(method, `/posts/${id}`, method === 'PATCH' ? { body: {} } : {})).status).toBe(404)
    }
  })

  it('shows each audience its posts', async () => {
    const dee = await app.signUp()
    await dee.follow(ada)
    expect((await ada.put(`/accounts/${dee.id}/close-friend`, undefined, { after: dee.token })).status).toBe(200)
    const posts = {
      public: await ada.publish(),
      followers: await ada.publish({ audience: 'followers' }),
      close_friends: await ada.publish({ audience: 'close_friends' }),
      named: await ada.publish({ audience: { accountIds: [cy.id, cy.id] } }),
    }
    const seen = async (who: { get: Person['get'] }): Promise<string[]> => {
      const found: string[] = []
      for (const [name, { id }] of Object.entries(posts)) {
        const { status } = await who.get(`/posts/${id}`, { after: ada.token })
        expect([200, 404]).toContain(status)
        if (status === 200) found.push(name)
      }
      return found
    }
    expect(await seen(ada)).toEqual(['public', 'followers', 'close_friends', 'named'])
    expect(await seen(ben)).toEqual(['public', 'followers'])
    expect(await seen(cy)).toEqual(['public', 'named'])
    expect(await seen(dee)).toEqual(['public', 'followers', 'close_friends'])
    expect(await seen(app)).toEqual(['public'])
    expect(posts.named.audience).toEqual({ accountIds: [cy.id] })
    expect((await cy.get(`/posts/${posts.named.id}`)).body.audience).toBe('accounts')
  })

  it('mentions nobody who blocks: the author when it is written, the viewer when it is read', async () => {
    const [eve, fay] = [await app.signUp('eve'), await app.signUp('fay')]
    await eve.put(`/accounts/${ada.id}/block`)
    const post = await ada.publish({ caption: '@eve @fay @FAY' })
    expect(post.mentions.map(({ username }: { username: string }) => username)).toEqual(['fay'])
    await fay.put(`/accounts/${ben.id}/block`)
    expect((await ben.get(`/posts/${post.id}`, { after: ada.token })).body.mentions).toEqual([])
    expect((await cy.get(`/posts/${post.id}`)).body.mentions).toHaveLength(1)
  })
})

describe('a profile’s posts', () => {
  it('come newest first, page by page, filled up with what may be seen', async () => {
    const dee = await app.signUp('dee')
    const shown: string[] = []
    for (let n = 0; n < 4; n++) {
      shown.unshift((await dee.publish()).id)
      await dee.publish({ audience: 'close_friends' })
    }
    const pages: string[][] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await ben.get(`/accounts/dee/posts?limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`, {
        after: dee.token,
      })
      pages.push(body.items.map(({ id }: { id: string }) => id))
      cursor = body.nextCursor
    }
    expect(pages).toEqual([shown.slice(0, 3), shown.slice(3)])
    expect((await dee.get(`/accounts/${dee.id}/posts`)).body.items).toHaveLength(8)
    const { body } = await ben.get(`/accounts/dee/posts?limit=1`)
    const other = await ben.get(`/accounts/ada/posts?cursor=${body.nextCursor}`)
    expect(other).toMatchObject({ status: 400, body: { code: 'cursor_invalid' } })
    expect((await ben.get('/accounts/dee/posts?limit=101')).status).toBe(422)
    expect((await ben.get(`/accounts/dee`)).body.counts.posts).toBe(4)
  })

  it('of a private account are its followers’ alone; of one who blocks, unknown', async () => {
    const gil = await app.signUp('gil')
    await ben.follow(gil)
    await gil.publish()
    await gil.put('/me/account-type', { type: 'private' })
    expect((await ben.get('/accounts/gil/posts')).body.items).toHaveLength(1)
    expect((await cy.get('/accounts/gil/posts')).body).toEqual({ items: [], nextCursor: null })
    expect((await app.get('/accounts/gil/posts')).body).toEqual({ items: [], nextCursor: null })
    await gil.put(`/accounts/${cy.id}/block`)
    expect((await cy.get('/accounts/gil/posts')).status).toBe(404)
    expect((await cy.get('/accounts/nobody/posts')).status).toBe(404)
  })
})

describe('editing', () => {
  it('changes what is sent, and says when', async () => {
    const post = await ada.publish({ caption: 'with @ben', location: { name: 'Pier', lat: 1, lng: 2 } })
    const answer = await ada.patch(`/posts/${post.id}`, {
      caption: 'with @cy #now',
      media: [{ id: post.media[0].id, altText: 'A pier' }],
    })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('etag')).toMatch(/^"1\./)
    expect(answer.body).toMatchObject({
      caption: 'with @cy #now',
      hashtags: ['now'],
      mentions: [{ username: 'cy' }],
      location: { name: 'Pier' },
      media: [{ altText: 'A pier' }],
      createdAt: post.createdAt,
    })
    expect(answer.body.editedAt).not.toBeNull()
    const cleared = await ada.patch(`/posts/${post.id}`, {
      caption: null,
      location: null,
      media: [{ id: post.media[0].id, altText: null }],
    })
    expect(cleared.body).toMatchObject({ caption: null, hashtags: [], mentions: [], location: null, media: [{ altText: null }] })
    expect((await ben.get(`/posts/${post.id}`, { after: ada.token })).body.caption).toBeNull()
  })

  it('without a change changes nothing', async () => {
    const post = await ada.publish({ caption: 'same' })
    expect((await ada.patch(`/posts/${post.id}`, {})).body).toEqual(post)
    expect((await ada.patch(`/posts/${post.id}`, { caption: 'same', audience: 'public' })).body).toEqual(post)
  })

  it('with If-Match wants the revision that it has', async () => {
    const post = await ada.publish()
    const etag = (await ada.get(`/posts/${post.id}`)).headers.get('etag')!
    await ben.put(`/posts/${post.id}/like`)
    const first = await ada.patch(`/posts/${post.id}`, { caption: 'one' }, { headers: { 'If-Match': etag }, after: ben.token })
    expect(first.status).toBe(200)
    const late = await ada.patch(`/posts/${post.id}`, { caption: 'two' }, { headers: { 'If-Match': etag } })
    expect(late).toMatchObject({ status: 412, body: { code: 'version_conflict' } })
    expect((await ada.get(`/posts/${post.id}`)).body.caption).toBe('one')
    expect((await ada.patch(`/posts/${post.id}`, { caption: 'two' }, { headers: { 'If-Match': '*' } })).status).toBe(200)
  })

  it('with If-Match is done again for a repeat, until somebody else changed it', async () => {
    const post = await ada.publish({ caption: 'first' })
    const headers = { 'If-Match': (await ada.get(`/posts/${post.id}`)).headers.get('etag')! }
    const change = { caption: 'one, @ben', audience: 'followers' }
    const once = await ada.patch(`/posts/${post.id}`, change, { headers })
    const again = await ada.patch(`/posts/${post.id}`, change, { headers })
    expect([again.status, again.body]).toEqual([200, once.body])
    expect(again.headers.get('etag')).toBe(once.headers.get('etag'))
    // On the author's other device: the same words are another edit now, even where they come to the same.
    await ada.patch(`/posts/${post.id}`, { comments: 'off' })
    expect((await ada.patch(`/posts/${post.id}`, change, { headers })).status).toBe(412)
  })

  it.each<[string, object, string]>([
    ['another picture', { media: [{ id: randomUUID(), altText: 'x' }] }, '/media/0/id'],
    ['an unknown field', { likes: 3 }, '/likes'],
    ['no audience', { audience: null }, '/audience'],
    ['a list', [], ''],
  ])('refuses %s', async (_, changes, path) => {
    const post = await ada.publish()
    expect(await ada.patch(`/posts/${post.id}`, changes)).toMatchObject({ status: 422, body: { errors: [{ path }] } })
  })

  it('narrows at once, and moves the count of the profile', async () => {
    const hal = await app.signUp('hal')
    const post = await hal.publish()
    expect((await ben.get(`/posts/${post.id}`)).status).toBe(200)
    await hal.patch(`/posts/${post.id}`, { audience: { accountIds: [cy.id] } })
    expect((await ben.get(`/posts/${post.id}`)).status).toBe(404)
    expect((await cy.get(`/posts/${post.id}`)).status).toBe(200)
    expect((await hal.get('/accounts/hal')).body.counts.posts).toBe(0)
  })
})

describe('deleting', () => {
  it('is done once, said twice, and takes the pictures along', async () => {
    const post = await ada.publish()
    const folder = mediaFolder(ada.id, post.media[0].id)
    const files = () => Array.fromAsync(app.app.commands.storage.list(folder))
    expect(await files()).not.toEqual([])
    expect((await ada.delete(`/posts/${post.id}`)).status).toBe(200)
    expect((await ben.get(`/posts/${post.id}`)).status).toBe(404)
    expect((await ada.get(`/posts/${post.id}`)).status).toBe(404)
    expect((await ada.delete(`/posts/${post.id}`)).status).toBe(200)
    expect((await ada.patch(`/posts/${post.id}`, { caption: 'x' })).status).toBe(404)
    await expect.poll(files).toEqual([])
    await expect.poll(async () => (await ada.get(`/media/${post.media[0].id}`)).status).toBe(404)
    expect((await ada.post('/posts', { media: [{ id: post.media[0].id }] })).body.code).toMatch(/^media_(in_use|not_found)$/)
  })

  it('and changing are the author’s: 403 to who may see the post, 404 to all others', async () => {
    const [open, secret] = [await ada.publish(), await ada.publish({ audience: 'close_friends' })]
    for (const [id, status] of [
      [open.id, 403],
      [secret.id, 404],
    ] as const) {
      expect((await ben.delete(`/posts/${id}`, { after: ada.token })).status).toBe(status)
      expect((await ben.patch(`/posts/${id}`, { caption: 'x' }, { after: ada.token })).status).toBe(status)
      expect((await ben.patch(`/posts/${id}`, { caption: 'x' }, { headers: { 'If-Match': '"9.x"' } })).status).toBe(status)
    }
    await ada.delete(`/posts/${open.id}`)
    expect((await ben.delete(`/posts/${open.id}`)).status).toBe(404)
    expect((await app.send('DELETE', `/posts/${secret.id}`)).status).toBe(401)
  })
})

describe('an erased author', () => {
  it('leaves no post, no picture and no mention', async () => {
    const ida = await app.signUp('ida')
    const post = await ida.publish()
    const mention = await ada.publish({ caption: 'with @ida' })
    expect(mention.mentions).toHaveLength(1)
    expect((await ida.post('/me/erasure', { password: ida.password })).status).toBe(202)
    expect((await ben.get(`/posts/${post.id}`)).status).toBe(404)
    expect((await ben.get(`/posts/${mention.id}`)).body).toMatchObject({ caption: 'with @ida', mentions: [] })
    await expect.poll(() => Array.fromAsync(app.app.commands.storage.list(mediaFolder(ida.id)))).toEqual([])
  })
})
