import { afterAll, beforeAll, expect, it } from 'vitest'
import { sql } from '../../src/kernel/sql.ts'
import { type TestApp, testApp } from '../support/app.ts'

let app: TestApp
let production: TestApp

beforeAll(async () => {
  app = await testApp()
  production = await testApp({ config: { production: true, opsToken: 'an-operators-token-of-some-length' } })
})
afterAll(async () => {
  await app.stop()
  await production.stop()
})

it('says that it is alive and ready', async () => {
  expect(await app.get('/healthz')).toMatchObject({ status: 200, body: { status: 'alive' } })
  expect(await app.get('/readyz')).toMatchObject({ status: 200, body: { status: 'ready', reasons: [] } })
  expect((await app.get('/v1/instance')).body).toMatchObject({
    version: '0.0.0-test',
    limits: { captionCharacters: 2200, mediaPerPost: 20 },
  })
})

it('is not ready while a read model stands still, and says why to operators alone', async () => {
  for (const one of [app, production]) {
    await one.app.db.run(sql`update kernel.consumers set state = 'paused' where key = 'likes_v1'`)
  }
  expect(await app.get('/readyz')).toMatchObject({
    status: 503,
    body: { status: 'not_ready', reasons: [expect.stringContaining('likes is paused')] },
  })
  const hidden = await production.get('/readyz')
  expect(hidden).toMatchObject({ status: 503, body: { status: 'not_ready' } })
  expect(hidden.body.reasons).toBeUndefined()
  for (const one of [app, production]) await one.app.db.run(sql`update kernel.consumers set state = 'running'`)
})

it('shows metrics and read models on loopback outside production', async () => {
  const metrics = await app.get('/metrics')
  expect(metrics.body).toMatch(/^darkroom_http_request_seconds_count\{method="GET",route="\/healthz",status="200"\} [1-9]/m)
  expect(metrics.body).toMatch(/^darkroom_consumer_lag_positions\{consumer="feed"\} 0$/m)
  const ops = await app.get('/ops')
  expect(ops.body.readModels.map(({ name }: { name: string }) => name)).toEqual(
    expect.arrayContaining(['accounts', 'feed', 'live', 'timers']),
  )
  const page = await app.get('/ops', { headers: { Accept: 'text/html' } })
  expect(page.body).toContain('<table>')
})

it('shows them to nobody else: not under a name that resolves to loopback, not in production without the token', async () => {
  for (const path of ['/metrics', '/ops', '/dev/outbox']) {
    expect((await app.get(path, { headers: { Host: 'evil.example' } })).status, path).toBe(404)
    expect((await production.get(path)).status, path).toBe(404)
    expect((await production.get(path, { headers: { Authorization: 'Bearer wrong' } })).status, path).toBe(404)
  }
  const headers = { Authorization: 'Bearer an-operators-token-of-some-length' }
  expect((await production.get('/ops', { headers })).status).toBe(200)
})

it('mails go to the outbox, which developers can read', async () => {
  const ada = await app.signUp('ada', { email: 'shared@example.org' })
  const bob = await app.signUp('bob', { email: 'shared@example.org' })
  expect(bob.id).not.toBe(ada.id)
  await expect
    .poll(async () => (await app.get('/dev/outbox')).body.items[0], { timeout: 10_000 })
    .toMatchObject({ channel: 'email', to: 'shared@example.org' })
})
