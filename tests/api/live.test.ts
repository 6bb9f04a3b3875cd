import { once } from 'node:events'
import { get } from 'node:http'
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import WebSocket from 'ws'
import { policies } from '../../src/kernel/http/rate-limit.ts'
import { type Person, type TestApp, testApp } from '../support/app.ts'
import { listenLive, listenStream, refusedHandshake } from '../support/live.ts'

let app: TestApp
let ada: Person
let bob: Person

beforeAll(async () => {
  app = await testApp({ heartbeatMs: 200 })
  ada = await app.signUp('ada')
  bob = await app.signUp('bob')
  await bob.follow(ada)
})
afterAll(() => app.stop())

it('tells followers of a post, its change and its end, in the viewer’s own form', async () => {
  const live = await listenLive(app, bob)
  const post = await ada.publish({ caption: 'first' })
  const told = await live.next('feed.post')
  expect(told.data.post).toMatchObject({
    id: post.id,
    caption: 'first',
    author: { username: 'ada' },
    viewer: { liked: false, canEdit: false },
  })
  // Who hears of a thing can ask for it.
  expect((await bob.get(`/posts/${post.id}`)).status).toBe(200)
  expect((await app.get(told.data.post.media[0].renditions[0].url)).status).toBe(200)
  await ada.patch(`/posts/${post.id}`, { caption: 'second' })
  expect((await live.next('post.updated')).data.post.caption).toBe('second')
  await ada.delete(`/posts/${post.id}`)
  expect((await live.next('post.removed')).data).toEqual({ postId: post.id })
  const ids = live.messages.flatMap(({ id }) => id ?? []).map(id => Number(id.split('-')[1]))
  expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b))
  live.end()
})

it('tells the author what others do, once each, and grouped ones anew', async () => {
  const live = await listenLive(app, ada)
  const post = await ada.publish()
  await bob.put(`/posts/${post.id}/like`, undefined, { after: ada.token })
  const created = await live.next('notification.created')
  expect(created.data.notification).toMatchObject({
    type: 'like',
    count: 1,
    actors: [{ username: 'bob' }],
    post: { id: post.id },
  })
  await bob.delete(`/posts/${post.id}/like`)
  await bob.put(`/posts/${post.id}/like`)
  await bob.post(`/posts/${post.id}/comments`, { text: 'Fine light, @ada' })
  const comment = await live.next('notification.created', 2)
  expect(comment.data.notification).toMatchObject({ comment: { text: 'Fine light, @ada' } })
  const cleo = await app.signUp('cleo')
  await cleo.put(`/posts/${post.id}/like`, undefined, { after: ada.token })
  const updated = await live.next('notification.updated')
  expect(updated.data.notification).toMatchObject({ id: created.data.notification.id, count: 2 })
  expect(live.of('notification.created')).toHaveLength(2)
  live.end()
})

it('resumes behind exactly the last message: no gap, no double', async () => {
  const first = await listenLive(app, bob)
  await ada.publish({ caption: 'heard' })
  await first.next('feed.post')
  const lastEventId = first.lastEventId!
  first.end()
  for (const caption of ['missed 1', 'missed 2', 'missed 3']) await ada.publish({ caption })
  const second = await listenLive(app, bob, lastEventId)
  await ada.publish({ caption: 'now' })
  await second.next('feed.post', 4)
  expect(second.of('feed.post').map(({ data }) => data.post.caption)).toEqual(['missed 1', 'missed 2', 'missed 3', 'now'])
  second.end()
})

it('resumes through a follow and its end in between', async () => {
  const [dora, emil] = [await app.signUp('dora'), await app.signUp('emil')]
  const first = await listenLive(app, dora)
  await dora.follow(emil)
  await emil.publish({ caption: 'after the follow' })
  expect((await first.next('feed.post')).data.post.caption).toBe('after the follow')
  const { lastEventId } = first
  first.end()
  await dora.delete(`/accounts/${emil.id}/follow`)
  await emil.publish({ caption: 'not any more' })
  await dora.follow(ada)
  await ada.publish({ caption: 'ada now' })
  const second = await listenLive(app, dora, lastEventId)
  await second.next('feed.post')
  expect(
    second.messages.filter(({ id }) => id !== undefined).map(({ type, data }) => [type, data.accountId ?? data.post?.caption]),
  ).toEqual([
    ['feed.removed', emil.id],
    ['feed.post', 'ada now'],
  ])
  second.end()
})

it('says resync where the id is unknown, malformed or of another epoch, and goes on from now', async () => {
  for (const id of ['nonsense', '00000000-1', `${(await ada.post('/live/tickets')).body.lastEventId.split('-')[0]}-999999999`]) {
    const live = await listenLive(app, bob, id)
    expect(live.messages[0]?.type).toBe('resync')
    await ada.publish({ caption: id })
    expect((await live.next('feed.post')).data.post.caption).toBe(id)
    live.end()
  }
})

it('tells nobody of what they may not see, also where they could before', async () => {
  const [owner, friend, named, outsider] = [
    await app.signUp('owner'),
    await app.signUp('friend'),
    await app.signUp('named'),
    await app.signUp('outsider'),
  ]
  for (const person of [friend, named, outsider]) await person.follow(owner)
  await owner.put(`/accounts/${friend.id}/close-friend`, undefined, { after: friend.token })
  const [ofFriend, ofNamed, ofOutsider] = await Promise.all([friend, named, outsider].map(person => listenLive(app, person)))
  await owner.publish({ caption: 'close', audience: 'close_friends' })
  await owner.publish({ caption: 'two', audience: { accountIds: [named.id] } })
  const open = await owner.publish({ caption: 'all' })
  for (const live of [ofFriend, ofNamed, ofOutsider]) {
    await vi.waitFor(() => expect(live!.of('feed.post').map(({ data }) => data.post.caption)).toContain('all'), 10_000)
  }
  expect(ofFriend!.of('feed.post').map(({ data }) => data.post.caption)).toEqual(['close', 'all'])
  expect(ofNamed!.of('feed.post').map(({ data }) => data.post.caption)).toEqual(['two', 'all'])
  expect(ofOutsider!.of('feed.post').map(({ data }) => data.post.caption)).toEqual(['all'])
  await owner.patch(`/posts/${open.id}`, { audience: 'close_friends' })
  expect((await ofOutsider!.next('post.removed')).data).toEqual({ postId: open.id })
  expect((await ofFriend!.next('post.updated')).data.post.id).toBe(open.id)
  await owner.put(`/accounts/${outsider.id}/block`)
  expect((await ofOutsider!.next('feed.removed')).data).toEqual({ accountId: owner.id })
  await owner.publish({ caption: 'without you' })
  await vi.waitFor(() => expect(ofFriend!.of('feed.post').at(-1)?.data.post.caption).toBe('without you'), 10_000)
  expect(ofOutsider!.of('feed.post')).toHaveLength(1)
  expect(ofNamed!.of('post.updated')).toEqual([])
  for (const live of [ofFriend, ofNamed, ofOutsider]) live!.end()
})

it('counts of a topic: the state of now first, then its changes, only to who may see the post', async () => {
  const post = await ada.publish()
  const live = await listenLive(app, bob)
  live.say({ type: 'subscribe', topic: `post:${post.id}`, ref: 1 })
  expect((await live.next('post.counts')).data).toMatchObject({ postId: post.id, likes: 0, comments: 0 })
  await bob.put(`/posts/${post.id}/like`, undefined, { after: ada.token })
  await vi.waitFor(() => expect(live.of('post.counts').at(-1)?.data).toMatchObject({ likes: 1 }), 10_000)
  expect(live.of('post.counts').every(({ id }) => id === undefined)).toBe(true)
  const stranger = await listenLive(app, await app.signUp('stranger'))
  const secret = await ada.publish({ audience: 'close_friends' })
  for (const topic of [`post:${secret.id}`, 'post:none', 'feed', 'post:11111111-1111-4111-8111-111111111111']) {
    stranger.say({ type: 'subscribe', topic, ref: topic })
    await vi.waitFor(() => expect(stranger.of('error').at(-1)).toMatchObject({ ref: topic, data: { code: 'not_found' } }), 10_000)
  }
  // Who loses the right to see the post hears nothing of it any more.
  await ada.put(`/accounts/${bob.id}/block`)
  const before = live.of('post.counts').length
  await ada.put(`/posts/${post.id}/like`)
  const own = await listenLive(app, ada)
  own.say({ type: 'subscribe', topic: `post:${post.id}` })
  await vi.waitFor(() => expect(own.of('post.counts').at(-1)?.data).toMatchObject({ likes: 2 }), 10_000)
  expect(live.of('post.counts')).toHaveLength(before)
  await ada.delete(`/accounts/${bob.id}/block`)
  await bob.follow(ada)
  for (const each of [live, stranger, own]) each.end()
})

it('answers bad frames with an error and goes on', async () => {
  const live = await listenLive(app, bob)
  for (const frame of [
    '{',
    '[]',
    'null',
    '{"type":"typing","ref":"a"}',
    '{"type":"subscribe"}',
    JSON.stringify({ type: 'subscribe', topic: 'x'.repeat(500) }),
  ])
    live.say(frame)
  await live.next('error', 6)
  expect(live.of('error').map(({ data }) => data.code)).toEqual(['malformed', ...Array(5).fill('validation_failed')])
  expect(live.of('error')[3]).toMatchObject({ ref: 'a' })
  live.say({ type: 'unsubscribe', topic: 'post:none', ref: 'still' })
  await live.next('ack', 2)
  live.say('x'.repeat(20_000))
  expect((await live.closing()).code).toBe(1009)
})

it('cuts the sockets of a session that ends, at once, and no others', async () => {
  const guest = await app.signUp('guest')
  const other = await app.post('/sessions', { login: 'guest', password: guest.password })
  const mine = await listenLive(app, guest)
  const kept = await listenLive(
    app,
    Object.assign(Object.create(Object.getPrototypeOf(guest)), guest, { session: other.body.session }),
  )
  await guest.delete(`/sessions/${guest.session.id}`)
  expect(await mine.closing()).toMatchObject({ code: 4401 })
  expect(mine.of('session.revoked')).toHaveLength(1)
  expect(kept.closed).toBeNull()
  kept.end()
  expect((await refusedHandshake(app, '/v1/live', { Authorization: `Bearer ${guest.session.accessToken}` })).body.code).toBe(
    'session_revoked',
  )
})

it('refuses who shows nothing or something false, and any other path', async () => {
  expect(await refusedHandshake(app, '/v1/live')).toMatchObject({ status: 401, body: { code: 'authentication_required' } })
  expect(await refusedHandshake(app, '/v1/live', { Authorization: 'Bearer x.y.z' })).toMatchObject({
    status: 401,
    body: { code: 'access_token_invalid' },
  })
  expect(await refusedHandshake(app, '/v1/live?ticket=none')).toMatchObject({ status: 401, body: { code: 'ticket_invalid' } })
  expect(await refusedHandshake(app, '/v1/other')).toMatchObject({ status: 404 })
  const many = await app.signUp('many')
  const open = await Promise.all(Array.from({ length: 20 }, () => listenLive(app, many)))
  const { port } = await app.listen()
  const { default: WebSocket } = await import('ws')
  const one = new WebSocket(`ws://127.0.0.1:${port}/v1/live`, {
    headers: { Authorization: `Bearer ${many.session.accessToken}` },
  })
  const code = await new Promise(resolve => one.on('close', resolve))
  expect(code).toBe(4429)
  for (const live of open) live.end()
})

it('a refused handshake keeps no connection, also where the client leaves its side open', async () => {
  const { port, server } = await app.listen()
  const opened = once(server, 'connection')
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  client.on('error', () => {})
  client.write('GET /v1/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  const [socket] = await opened
  await once(socket, 'close')
  client.destroy()
})

it('refuses a handshake of another form with a problem', async () => {
  const { port } = await app.listen()
  const headers = { Authorization: `Bearer ${bob.session.accessToken}`, Connection: 'Upgrade', Upgrade: 'websocket' }
  const [response] = await once(get({ port, path: '/v1/live', headers }), 'response')
  const [body] = await once(response, 'data')
  expect([response.statusCode, JSON.parse(body)]).toMatchObject([400, { code: 'malformed' }])
})

it('HEAD of the stream opens none', async () => {
  const head = await app.signUp('head')
  for (let tried = 0; tried < 21; tried++) expect((await head.send('HEAD', '/live/events')).status).toBe(200)
  const stream = await listenStream(app, '', { Authorization: `Bearer ${head.session.accessToken}` })
  expect(stream.response.status).toBe(200)
  await stream.end()
})

it('handshakes, streams, follows and comments are limited by account', async () => {
  const strict = await testApp({ config: { rateLimit: true } })
  const [cem, dee] = [await strict.signUp(), await strict.signUp()]
  const headers = { Authorization: `Bearer ${cem.session.accessToken}` }
  const { port } = await strict.listen()
  for (let n = 0; n < policies.live[0]; n++) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/live`, { headers })
    await once(socket, 'open')
    socket.terminate()
  }
  const refused = await refusedHandshake(strict, '/v1/live', headers)
  expect([refused.status, refused.body.code]).toEqual([429, 'rate_limited'])
  await listenLive(strict, dee)
  const fields = async (answer: Promise<{ headers: Headers }>) => (await answer).headers.get('ratelimit-policy')
  expect(await fields(cem.put(`/accounts/${dee.id}/follow`))).toContain('"follow"')
  expect(await fields(cem.post(`/posts/${dee.id}/comments`, { text: 'x' }))).toContain('"comment"')
  const stream = await listenStream(strict, '', headers)
  expect(await fields(Promise.resolve(stream.response))).toContain('"live"')
  await stream.end()
  await strict.stop()
})

it('a ticket opens one socket within its time', async () => {
  const { status, body, headers } = await bob.post('/live/tickets')
  expect(status).toBe(201)
  expect(headers.get('cache-control')).toBe('no-store')
  const live = await listenLive(app, { ticket: body.ticket })
  live.end()
  expect(await refusedHandshake(app, `/v1/live?ticket=${body.ticket}`)).toMatchObject({ body: { code: 'ticket_invalid' } })
  const late = (await bob.post('/live/tickets')).body.ticket
  app.clock.advance(31_000)
  expect(await refusedHandshake(app, `/v1/live?ticket=${late}`)).toMatchObject({ body: { code: 'ticket_invalid' } })
})

it('streams the same over SSE: ids, whole messages, heartbeats, resumption by the header', async () => {
  const auth = { Authorization: `Bearer ${bob.session.accessToken}` }
  const stream = await listenStream(app, '', auth)
  expect(stream.response.headers.get('content-type')).toMatch(/^text\/event-stream/)
  // A browser that is cut off before the first message knows where it was all the same.
  await vi.waitFor(() => expect(stream.lastEventId()).toBeDefined(), 10_000)
  const start = stream.lastEventId()!
  await ada.publish({ caption: 'streamed' })
  await vi.waitFor(() => expect(stream.messages().map(({ type }) => type)).toContain('feed.post'), 10_000)
  expect(stream.text()).not.toMatch(/^event:/m)
  expect(stream.messages()[0]).toMatchObject({ id: stream.lastEventId(), type: 'feed.post' })
  await vi.waitFor(() => expect(stream.text()).toMatch(/^: heartbeat$/m), 10_000)
  await stream.end()
  await ada.publish({ caption: 'missed' })
  const again = await listenStream(app, '', { ...auth, 'Last-Event-ID': start })
  await vi.waitFor(() => expect(again.messages().map(({ data }) => data.post.caption)).toEqual(['streamed', 'missed']), 10_000)
  await again.end()
  expect((await listenStream(app, '')).response.status).toBe(401)
})

it('a stream’s own ticket opens it again for ten minutes, and no WebSocket', async () => {
  const { ticket } = (await bob.post('/live/tickets')).body
  const stream = await listenStream(app, `?ticket=${ticket}`)
  expect(stream.response.status).toBe(200)
  await stream.end()
  app.clock.advance(5 * 60_000)
  const again = await listenStream(app, `?ticket=${ticket}`)
  expect(again.response.status).toBe(200)
  await again.end()
  expect(await refusedHandshake(app, `/v1/live?ticket=${ticket}`)).toMatchObject({ status: 401 })
  app.clock.advance(6 * 60_000)
  expect((await listenStream(app, `?ticket=${ticket}`)).response.status).toBe(401)
})

it('ends a stream when its session ends', async () => {
  const guest = await app.signUp('streamer')
  const stream = await listenStream(app, '', { Authorization: `Bearer ${guest.session.accessToken}` })
  await vi.waitFor(() => expect(stream.lastEventId()).toBeDefined(), 10_000)
  await guest.delete(`/sessions/${guest.session.id}`)
  await vi.waitFor(() => expect(stream.ended()).toBe(true), 10_000)
  expect(stream.messages().at(-1)?.type).toBe('session.revoked')
})
