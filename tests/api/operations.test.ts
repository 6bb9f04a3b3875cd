import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { sql } from '../../src/kernel/sql.ts'
import { likesModel } from '../../src/projections/likes/project.ts'
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
  const { parts } = (await app.get('/readyz')).body
  expect(parts).toEqual(
    expect.arrayContaining(['log', 'database', 'pictures'].map(name => expect.objectContaining({ name, away: null }))),
  )
  expect((await app.get('/v1/instance')).body).toMatchObject({
    version: '0.0.0-test',
    limits: { captionCharacters: 2200, mediaPerPost: 20 },
  })
})

it('serves on while a read model stands still, and says why to operators alone', async () => {
  for (const one of [app, production]) {
    await one.app.db.run(sql`update kernel.consumers set state = 'paused' where key = ${likesModel.key}`)
  }
  expect(await app.get('/readyz')).toMatchObject({
    status: 200,
    body: { status: 'degraded', reasons: [expect.stringContaining('likes is paused')] },
  })
  const hidden = await production.get('/readyz')
  expect(hidden).toMatchObject({ status: 200 })
  expect(hidden.body).toEqual({ status: 'degraded' })
  for (const one of [app, production]) await one.app.db.run(sql`update kernel.consumers set state = 'running'`)
})

it('shows metrics and read models on loopback outside production', async () => {
  const metrics = await app.get('/metrics')
  expect(metrics.body).toMatch(/^darkroom_http_request_seconds_count\{method="GET",route="\/healthz",status="200"\} [1-9]/m)
  // On a log that others write to, too, positions are passed all the time.
  await expect
    .poll(async () => (await app.get('/metrics')).body, { timeout: 10_000 })
    .toMatch(/^darkroom_consumer_lag_positions\{consumer="feed"\} 0$/m)
  const ops = await app.get('/ops')
  expect(ops.body.readModels.map(({ name }: { name: string }) => name)).toEqual(
    expect.arrayContaining(['accounts', 'feed', 'live', 'timers']),
  )
  const page = await app.get('/ops', { headers: { Accept: 'text/html' } })
  expect(page.body).toContain('<tbody id="models">')
  // What the policy lets run is what the page has, and nothing from elsewhere.
  const policy = page.headers.get('content-security-policy')!
  for (const element of ['style', 'script']) {
    const text = new RegExp(`<${element}>(.*)</${element}>`, 's').exec(page.body)![1]!
    expect(policy).toContain(`${element}-src 'sha256-${createHash('sha256').update(text).digest('base64')}'`)
  }
  expect(page.body).not.toMatch(/https?:\/\//)
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

it('a browser asks its user for the token', async () => {
  const html = { Accept: 'text/html' }
  const basic = (password: string) => ({ ...html, Authorization: `Basic ${Buffer.from(`anna:${password}`).toString('base64')}` })
  const asked = await production.get('/ops', { headers: html })
  expect(asked.status).toBe(401)
  expect(asked.headers.get('www-authenticate')).toMatch(/^Basic realm=/)
  expect((await production.get('/ops', { headers: basic('wrong') })).status).toBe(401)
  expect((await production.get('/ops', { headers: basic('an-operators-token-of-some-length') })).status).toBe(200)
  // Without a token there is nothing to sign in with.
  expect((await app.get('/ops', { headers: { ...html, Host: 'evil.example' } })).status).toBe(404)
})

it('counts what goes wrong by its cause', async () => {
  const ada = await app.signUp()
  const { token } = await ada.put('/me/account-type', { type: 'private' })
  expect(token).not.toBeNull()
  const { body } = await app.get('/metrics')
  for (const line of [
    /^darkroom_part_up\{part="log"\} 1$/m,
    /^darkroom_part_up\{part="database"\} 1$/m,
    /^darkroom_part_away_seconds\{part="pictures"\} 0$/m,
    /^darkroom_log_append_seconds_count\{outcome="appended"\} [1-9]/m,
    /^darkroom_database_waiting\{pool="models"\} \d+$/m,
    /^darkroom_consumer_paused\{consumer="likes"\} 0$/m,
    /^darkroom_consumer_stalled_seconds\{consumer="reaction_keep_accounts"\} \d+$/m,
    /^darkroom_mails_due 0$/m,
    /^darkroom_timers_oldest_seconds 0$/m,
    /^darkroom_live_behind 0$/m,
  ])
    expect(body).toMatch(line)
})

it('mails go to the outbox, which developers can read', async () => {
  const ada = await app.signUp('ada', { email: 'shared@example.org' })
  const bob = await app.signUp('bob', { email: 'shared@example.org' })
  expect(bob.id).not.toBe(ada.id)
  await expect
    .poll(async () => (await app.get('/dev/outbox')).body.items[0], { timeout: 10_000 })
    .toMatchObject({ channel: 'email', to: 'shared@example.org' })
})
