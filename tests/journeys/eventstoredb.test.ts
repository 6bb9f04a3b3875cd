import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Config } from '../../src/config.ts'
import { verify } from '../../src/kernel/projecting/verify.ts'
import { sql } from '../../src/kernel/sql.ts'
import { readModels } from '../../src/projections/models.ts'
import { storedEvent } from '../contracts/event-store.ts'
import { type TestApp, testApp } from '../support/app.ts'
import { ownName, standsApart } from '../support/engines.ts'
import { listenLive } from '../support/live.ts'
import { WireServer } from '../support/wire-server.ts'

standsApart('what says “the wire only”, and the log away, run on a stand-in for EventStoreDB')

/** The wire server stands for the wire alone; with EVENTSTORE_URL set the first is shown on that real server too, in a namespace of its own. */
let wire: WireServer
let app: TestApp

beforeEach(async () => {
  wire = await WireServer.start()
})
afterEach(async () => {
  await app.stop()
  await wire.close()
})

const start = async (eventStoreUrl: string, namespace = '', role: Config['role'] = 'all'): Promise<void> => {
  app = await testApp({ config: { eventStoreUrl, namespace, role } })
}

const real = process.env.EVENTSTORE_URL
for (const given of real ? [null, real] : [null]) {
  it(`the way of a photo with the log in EventStoreDB${given === null ? ' (the wire only)' : ''}`, async () => {
    await (given === null ? start(wire.url) : start(given, `${ownName()}_`))
    const ada = await app.signUp('ada')
    const bob = await app.signUp('bob')
    await bob.follow(ada)
    const hears = await listenLive(app, bob)
    const post = await ada.publish({ caption: 'in another log' })
    expect((await hears.next('feed.post')).data.post.id).toBe(post.id)
    await bob.put(`/posts/${post.id}/like`, undefined, { after: ada.token })
    const comment = await bob.post(`/posts/${post.id}/comments`, { text: 'it holds' })
    expect(comment.status).toBe(201)
    expect((await ada.get(`/posts/${post.id}`, { after: bob.token })).body.counts).toMatchObject({ likes: 1, comments: 1 })
    expect((await bob.get('/feed')).body.items.map(({ caption }: { caption: string }) => caption)).toEqual(['in another log'])
    await ada.put(`/accounts/${bob.id}/block`)
    expect((await bob.get(`/posts/${post.id}`)).status).toBe(404)
    expect((await hears.next('feed.removed')).data).toEqual({ accountId: ada.id })
    expect((await bob.post('/me/erasure')).status).toBe(202)
    hears.end()
    for (const model of readModels) expect(await verify(app.app, model), model.name).toMatchObject({ differences: [], more: 0 })
  })
}

it('serves on a new network before a projector has run, whose consumers begin behind what others wrote', async () => {
  const { id, type } = storedEvent()
  const bytes = new TextEncoder().encode('{}')
  wire.log.append('other_test-1', -1, [{ id, type, contentType: 'application/json', data: bytes, metadata: bytes }])
  await start(wire.url, '', 'api')
  expect((await app.get('/healthz')).status).toBe(200)
  const begun = await app.app.db.run<{ checkpoint: number }>(sql`select distinct checkpoint from kernel.consumers`)
  expect(begun).toEqual([{ checkpoint: wire.log.last!.position }])
})

it('answers 503 with Retry-After while the log is away, never 500, and goes on when it is back', async () => {
  await start(wire.url)
  const cleo = await app.signUp('cleo')
  const post = await cleo.publish()
  await wire.cable.refuse()
  const away = await cleo.put(`/posts/${post.id}/like`)
  expect(away.status).toBe(503)
  expect(away.headers.get('retry-after')).toMatch(/^\d+$/)
  expect((await app.get('/readyz')).status).toBe(503)
  expect((await cleo.get(`/posts/${post.id}`)).status).toBe(200)
  await wire.cable.listen()
  await expect.poll(async () => (await cleo.put(`/posts/${post.id}/like`)).status, { timeout: 20_000 }).toBe(200)
  expect((await cleo.get(`/posts/${post.id}`)).body.counts).toMatchObject({ likes: 1 })
})
