import { afterAll, beforeAll, expect, it } from 'vitest'
import { type OpenApiDocument, openApiDocument } from '../../src/kernel/http/openapi.ts'
import { type Person, type TestApp, testApp } from '../support/app.ts'
import { eventsBehind } from '../support/log.ts'
import { authFindings, openApiFindings } from '../support/openapi.ts'

let app: TestApp
let document: OpenApiDocument
let ada: Person

beforeAll(async () => {
  app = await testApp()
  document = await openApiDocument(app.app.routes, { version: 'test', publicUrl: 'http://localhost' })
  ada = await app.signUp('ada')
})
afterAll(() => app.stop())

it('describes every route, with an example that holds for every JSON body, in a document of OpenAPI 3.1', async () => {
  expect(await openApiFindings(app.app.routes, document)).toEqual([])
})

it('asks for an access token exactly where it says so', async () => {
  expect(await authFindings(app.app.routes, document)).toEqual([])
})

it('is served, and as a page that needs nothing from elsewhere', async () => {
  const served = await app.get('/openapi.json')
  expect(served.body.openapi).toBe('3.1.0')
  expect(Object.keys(served.body.paths)).toContain('/v1/posts/{id}/comments')
  const page = await app.get('/docs')
  expect(page.status).toBe(200)
  expect(page.headers.get('content-security-policy')).toMatch(/default-src 'none'/)
  expect(page.body).not.toMatch(/(src|href)="https?:/)
})

/** Every operation of the document: method, path with its parameters. */
const operations = (): [string, string][] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method): [string, string] => [method.toUpperCase(), path]),
  )

const badIds = [
  '0',
  'x'.repeat(3_000),
  '%00',
  '%ed%a0%80',
  '%ff',
  "'%20or%201=1--",
  '..%2f..%2fetc%2fpasswd',
  '11111111-1111-4111-8111-111111111111',
  '%F0%9F%92%A5',
  '-1',
  'null',
]
const badQueries = [
  'limit=0',
  'limit=101',
  'limit=1e9',
  'limit=-1',
  'limit=',
  'cursor=x',
  'cursor=%00',
  `cursor=${'A'.repeat(4_000)}`,
  'limit=1&limit=2',
  'unknown=1',
  '%zz=1',
  'ids=x',
  `ids=${'1,'.repeat(200)}`,
  '__proto__=1',
]
const badBodies: [string, string | Uint8Array][] = [
  ['nothing', ''],
  ['no JSON', '{'],
  ['a number', '1'],
  ['null', 'null'],
  ['a list', '[]'],
  ['a word', '"x"'],
  ['another form', '{"__proto__":{"a":1},"constructor":1,"x":[{}]}'],
  ['NUL', '{"text":"a\\u0000b","caption":"\\u0000","username":"\\u0000"}'],
  ['a lone surrogate', '{"text":"\\ud800","caption":"\\udfff","login":"\\ud800"}'],
  ['no UTF-8', Uint8Array.of(0x22, 0xff, 0xfe, 0x22)],
  ['depth', '['.repeat(20_000) + ']'.repeat(20_000)],
  ['numbers out of range', '{"media":[{"id":1e400}],"upToId":1e308,"limit":NaN}'],
  [
    'wrong types',
    '{"username":1,"email":[],"password":{},"media":"x","text":false,"type":7,"mediaId":0,"audience":{"accountIds":"all"},"login":null}',
  ],
]

it('answers hostile ids, queries and bodies on every path and method with a 4xx problem, never with a 5xx', {
  timeout: 120_000,
}, async () => {
  const head = await app.app.store.head()
  const tried: string[] = []
  const check = async (method: string, path: string, body?: string | Uint8Array): Promise<void> => {
    if (path.startsWith('/v1/live/events')) return
    const sent = body === undefined ? {} : { body, headers: { 'Content-Type': 'application/json' } }
    const answer = await ada.send(method, path, sent)
    const what = `${method} ${path.slice(0, 100)} ${String(body).slice(0, 40)} → ${answer.status}`
    tried.push(what)
    expect(answer.status, what).toBeLessThan(500)
    if (answer.status >= 400 && method !== 'HEAD') {
      expect(answer.headers.get('content-type'), what).toContain('application/problem+json')
      expect(answer.body.code, what).toBeTypeOf('string')
    }
  }
  // What works without a body is not tried with one that is bad: it would do what it is for.
  const skipped = /\/(erasure|sessions)$|tickets/
  for (const [method, path] of operations()) {
    if (skipped.test(path) && method !== 'GET') continue
    for (const id of badIds)
      if (path.includes('{'))
        await check(method, path.replaceAll(/\{[^}]+\}/g, id), method === 'GET' || method === 'DELETE' ? undefined : '{}')
    const existing = path.replaceAll(/\{[^}]+\}/g, ada.id)
    if (method === 'GET') for (const query of badQueries) await check(method, `${existing}?${query}`)
    else if (method !== 'DELETE') for (const [, body] of badBodies) await check(method, existing, body)
  }
  expect(tried.length).toBeGreaterThan(500)
  // Nothing of it changed anything.
  expect(await eventsBehind(app.app.store, head)).toEqual([])
})

it('says 404 for a path that is not built, 405 for a method that is not, and 422 for a field that is not', async () => {
  for (const path of [
    '/v1/collections',
    '/v1/me/exports',
    '/v1/search?q=x',
    '/v1/explore',
    '/p/abc',
    '/oembed',
    '/uploads',
    '/socket.io/',
    '/',
    '/v2/me',
  ]) {
    expect((await ada.get(`http://localhost${path}`)).status, path).toBe(404)
  }
  const other = await ada.send('PUT', '/feed')
  expect(other.status).toBe(405)
  expect(other.headers.get('allow')).toContain('GET')
  const { id } = await ada.upload()
  for (const field of [
    { collaboratorIds: [] },
    { publishAt: '2030-01-01T00:00:00Z' },
    { media: [{ id, tags: [] }] },
    { media: [{ id, productIds: [] }] },
    { location: { placeId: id } },
  ]) {
    const answer = await ada.post('/posts', { media: [{ id }], ...field })
    expect(answer.status, JSON.stringify(field)).toBe(422)
    expect(answer.body.code).toBe('validation_failed')
  }
  expect((await ada.get('/feed?order=ranked')).status).toBe(422)
})
