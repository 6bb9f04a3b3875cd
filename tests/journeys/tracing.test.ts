import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Person, picture, type TestApp, testApp } from '../support/app.ts'
import { Client } from '../support/client.ts'
import { type ArrivedSpan, Collector } from '../support/collector.ts'
import { freshDatabase } from '../support/database.ts'
import { environmentOf } from '../support/engines.ts'
import { listenLive } from '../support/live.ts'
import { hasNats, runNats } from '../support/nats.ts'
import { type ServerProcess, startServer } from '../support/server.ts'
import { type Smtp, startSmtp } from '../support/smtp.ts'
import { temporaryFolder } from '../support/temporary.ts'

const patience = { timeout: 20_000, interval: 50 }
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`
let collector: Collector
beforeAll(async () => {
  collector = await Collector.start()
})
afterAll(() => collector.end())

const ofTrace = (trace: string): ArrivedSpan[] => collector.spans.filter(span => span.traceId === trace)

/** Waits for a span of this name in the trace. */
const arrived = (name: string, trace = traceId): Promise<ArrivedSpan> =>
  vi.waitFor(() => {
    const span = ofTrace(trace).find(span => span.name === name)
    if (span === undefined) throw new Error(`no ${name} among ${ofTrace(trace).map(span => span.name)}`)
    return span
  }, patience)

const beganInOrder = (span: ArrivedSpan): void => {
  const parent = collector.spans.find(({ spanId }) => spanId === span.parentSpanId)
  if (parent === undefined) return
  expect(BigInt(parent.startTimeUnixNano) <= BigInt(span.startTimeUnixNano), `${parent.name} → ${span.name}`).toBe(true)
  beganInOrder(parent)
}

const told = (endpoint: string) => ({ tracing: { endpoint, headers: {}, sampler: { ratio: 1, byParent: true } } })

describe('one process', () => {
  let app: TestApp
  let mail: Smtp
  let ada: Person
  let ben: Person
  beforeAll(async () => {
    mail = await startSmtp()
    const smtp = { url: `smtp://127.0.0.1:${mail.port}`, from: { name: '', address: 'post@photos.example' } }
    app = await testApp({ config: { ...told(collector.url), smtp } })
    ada = await app.signUp('ada_traced')
    ben = await app.signUp('ben_traced')
    await ben.follow(ada)
  })
  afterAll(async () => {
    await app?.stop()
    await mail?.end()
  })

  it('a post is one trace from the caller to the live message, by way of log and journal', async () => {
    const listener = await listenLive(app, ben)
    const { id } = await ada.upload()
    const { status, headers } = await ada.post(
      '/posts',
      { media: [{ id }], caption: 'Evening #sunset' },
      { headers: { traceparent } },
    )
    expect(status).toBe(201)
    expect(headers.get('x-request-id')).not.toContain(traceId)
    await listener.next('feed.post')
    const delivered = await arrived('deliver feed.post')
    // It may end after what it brought about was told.
    const request = await arrived('POST /v1/posts')
    expect(collector.way(delivered)).toEqual([
      'POST /v1/posts',
      'execute post',
      'append PostPublished',
      'project live',
      'deliver feed.post',
    ])
    beganInOrder(delivered)
    expect(request.parentSpanId).toBe('00f067aa0ba902b7')
    expect(collector.way(await arrived('project posts'))).toEqual([
      'POST /v1/posts',
      'execute post',
      'append PostPublished',
      'project posts',
    ])
    listener.end()
  })

  it('what follows from an event stands under it, to the mail', async () => {
    const answer = await app.post(
      '/accounts',
      { username: 'eve_traced', email: 'ada_traced@example.org', password: 'a long and winding road' },
      { headers: { traceparent: traceparent.replace(traceId, traceId.replaceAll('4', '5')) } },
    )
    expect(answer.status).toBe(201)
    const way = collector.way(await arrived('send mail', traceId.replaceAll('4', '5')))
    expect(way).toEqual(['POST /v1/accounts', 'execute account', 'append SignedUp', 'react keep_accounts', 'send mail'])
  })

  it('without a caller the trace is the request id, or made of what the client calls it', async () => {
    const plain = await ada.get('/me')
    const requestId = plain.headers.get('x-request-id')!
    const span = await arrived('GET /v1/me', requestId.replaceAll('-', ''))
    expect(span.parentSpanId ?? '').toBe('')
    await ada.get('/sessions', { headers: { 'X-Request-Id': 'named-by-a-client' } })
    await vi.waitFor(() => expect(collector.spans.map(({ name }) => name)).toContain('GET /v1/sessions'), patience)
  })

  it('a caller who asks for none has none, also of what follows', async () => {
    const quiet = 'ffffffffffffffffffffffffffffff01'
    const post = await ada.publish()
    const { status } = await ben.put(`/posts/${post.id}/like`, undefined, {
      after: ada.token,
      headers: { traceparent: `00-${quiet}-00f067aa0ba902b7-00` },
    })
    expect(status).toBe(200)
    // The next one is all there, and nothing of this.
    const loud = 'ffffffffffffffffffffffffffffff02'
    await ben.delete(`/posts/${post.id}/like`, { headers: { traceparent: `00-${loud}-00f067aa0ba902b7-01` } })
    await arrived('project likes', loud)
    expect(ofTrace(quiet)).toEqual([])
  })

  it('a traceparent that is none is left alone', async () => {
    for (const wrong of [
      '00-0-0-01',
      `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
      'x'.repeat(500),
      `ff-${traceId}-00f067aa0ba902b7-01`,
    ]) {
      const { status, headers } = await ada.get('/me', { headers: { traceparent: wrong } })
      expect(status).toBe(200)
      await arrived('GET /v1/me', headers.get('x-request-id')!.replaceAll('-', ''))
    }
  })

  it('nothing of people stands in them: no names, addresses, words, ids of accounts, tokens, queries', async () => {
    const { headers } = await ada.get('/accounts/ben_traced', { headers: { 'X-Request-Id': 'secret-words' } })
    expect(headers.get('x-request-id')).toBe('secret-words')
    const called = (): boolean => collector.spans.some(({ name }) => name === 'GET /v1/accounts/:account')
    await vi.waitFor(() => expect(called()).toBe(true), patience)
    const text = JSON.stringify(collector.spans)
    for (const word of ['ada_traced', 'ben_traced', 'sunset', 'secret', 'example.org', ada.id, ben.id, ada.session.accessToken])
      expect(text).not.toContain(word)
  })
})

it('a collector that is away changes nothing for anybody', async () => {
  const gone = await Collector.start()
  const { url } = gone
  await gone.end()
  const app = await testApp({ config: told(url) })
  const ada = await app.signUp()
  const { status } = await ada.put('/me/account-type', { type: 'private' })
  expect(status).toBe(200)
  await app.stop()
})

describe.skipIf(!hasNats)(`api and projector apart${hasNats ? '' : ', for want of nats-server'}`, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let nats: Awaited<ReturnType<typeof runNats>>
  let dataDir: string
  const nodes: ServerProcess[] = []
  beforeAll(async () => {
    fresh = await freshDatabase()
    nats = await runNats()
    dataDir = await temporaryFolder()
    const environment = {
      NATS_URL: nats.url,
      ...environmentOf(fresh.url),
      DATA_DIR: dataDir,
      SECRET: randomBytes(32).toString('base64url'),
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    }
    nodes.push(await startServer({ ...environment, ROLE: 'projector', OTEL_SERVICE_NAME: 'prints' }))
    nodes.push(await startServer({ ...environment, ROLE: 'api' }))
  }, 60_000)
  afterAll(async () => {
    await Promise.all(nodes.map(node => node.end('SIGKILL')))
    await nats?.end()
    await rm(dataDir, { recursive: true, force: true })
    await fresh?.drop()
  })

  it('tell one trace of one post', { timeout: 60_000 }, async () => {
    const api = nodes[1]!
    const [ada, ben] = [new Client(() => api.url), new Client(() => api.url)]
    await ada.signUp('ada_apart')
    await ben.signUp('ben_apart')
    await ben.send('PUT', `/accounts/${ada.id}/follow`)
    const live = await ben.live()
    const { id } = await ada.send('POST', '/media', await picture())
    await ada.send('POST', '/posts', { media: [{ id }] })
    await vi.waitFor(() => expect(live.messages.map(({ type }) => type)).toContain('feed.post'), patience)
    const delivered = await vi.waitFor(() => {
      const span = collector.spans.find(
        ({ name, resource }) => name === 'deliver feed.post' && resource['darkroom.role'] === 'api',
      )
      if (span === undefined) throw new Error('not yet')
      expect(collector.way(span)).toHaveLength(5)
      return span
    }, patience)
    expect(collector.way(delivered)).toEqual([
      'POST /v1/posts',
      'execute post',
      'append PostPublished',
      'project live',
      'deliver feed.post',
    ])
    const projected = ofTrace(delivered.traceId).find(({ name }) => name === 'project live')
    expect(projected!.resource).toMatchObject({ 'darkroom.role': 'projector', 'service.name': 'prints' })
    live.end()
  })
})
