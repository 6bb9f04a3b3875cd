import { Hono } from 'hono'
import pino from 'pino'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { pageQuery } from '../../../src/kernel/cursor.ts'
import { httpApp } from '../../../src/kernel/http/app.ts'
import { describe as about } from '../../../src/kernel/http/describe.ts'
import { docsPage } from '../../../src/kernel/http/docs.ts'
import { documentation } from '../../../src/kernel/http/documentation.ts'
import { type HttpEnv, routes } from '../../../src/kernel/http/env.ts'
import { openApiDocument } from '../../../src/kernel/http/openapi.ts'
import { example, exampleOf, listOf, model, queryInteger } from '../../../src/kernel/http/schema.ts'
import { body, params, query } from '../../../src/kernel/http/validate.ts'
import { authFindings, openApiFindings } from '../../support/openapi.ts'

const PostId = v.pipe(v.string(), v.uuid())
const Text = example(v.pipe(v.string(), v.maxLength(2200)), 'What <b>light</b>!')
const Writer = model('Writer', v.object({ id: PostId, username: example(v.string(), 'ada') }))
const Remark = model(
  'Remark',
  v.object({
    id: PostId,
    author: Writer,
    text: Text,
    at: v.pipe(v.string(), v.isoTimestamp()),
    parent: v.nullable(v.lazy(() => Writer)),
    likes: v.number(),
  }),
)
const NewRemark = model(
  'NewRemark',
  v.strictObject({ text: Text, parentId: v.optional(PostId), kind: v.picklist(['plain', 'question']) }),
)

function app() {
  const manners = { publicUrl: 'http://x', corsOrigins: [], trustedProxies: [], rateLimit: false, classify: () => null }
  const app = httpApp({ log: pino({ level: 'silent' }), ...manners })
  const comments = routes()
    .post(
      '/posts/:id/comments',
      about('Comment on a post', { tag: 'Comments', responses: { 201: Remark }, problems: ['media_not_found'] }),
      params({ id: PostId }),
      body(NewRemark),
      c => c.json({}, 201),
    )
    .get(
      '/posts/:id/comments',
      about('A post’s comments', { tag: 'Comments', auth: 'optional', responses: { 200: listOf(Remark) } }),
      params({ id: PostId }),
      query({ ...pageQuery, depth: queryInteger(0, 3) }),
      c => c.json({}),
    )
    .get(
      '/comments/:id',
      about('One comment', { tag: 'Comments', auth: 'none', responses: { 200: Remark }, etag: true }),
      params({ id: PostId }),
      c => c.json({}),
    )
    .delete(
      '/comments/:id',
      about('Delete a comment', { tag: 'Comments', responses: { 204: null } }),
      params({ id: PostId }),
      c => c.body(null, 204),
    )
    .post(
      '/media',
      about('Upload', {
        tag: 'Media',
        responses: { 201: { type: 'image/*', description: 'The picture' } },
        accepts: { 'multipart/form-data': 'The photo', 'image/*': 'The photo' },
      }),
      c => c.json({}),
    )
  app.route('/v1', comments)
  app.route('/', documentation(app, { version: '1.2.3' }))
  return app
}

const document = (of = app()) => openApiDocument(of, { version: '1.2.3' })

describe('the OpenAPI document', () => {
  it('is valid, whole, and all its examples are of their schemas’ form', async () => {
    const described = app()
    expect(await openApiFindings(described, await document(described))).toEqual([])
  })

  it('has paths in full, models by name, and parameters of the schemas that validate', async () => {
    const { paths, components } = await document()
    expect(Object.keys(paths)).toEqual(['/v1/posts/{id}/comments', '/v1/comments/{id}', '/v1/media', '/openapi.json', '/docs'])
    expect(Object.keys(components.schemas)).toEqual(['NewRemark', 'Remark', 'Writer', 'Problem'])
    expect(components.schemas.NewRemark).toMatchObject({ additionalProperties: false, required: ['text', 'kind'] })
    const list = paths['/v1/posts/{id}/comments']!.get!
    expect(list.parameters).toEqual([
      expect.objectContaining({ name: 'id', in: 'path', required: true }),
      expect.objectContaining({
        name: 'limit',
        in: 'query',
        required: false,
        schema: expect.objectContaining({ type: 'integer', minimum: 1, maximum: 100, default: 20 }),
      }),
      expect.objectContaining({ name: 'cursor', in: 'query', required: false }),
      expect.objectContaining({ name: 'depth', in: 'query', required: true }),
      { $ref: '#/components/parameters/Consistency-Token' },
    ])
    expect(list.security).toEqual([{ accessToken: [] }, {}])
    expect(list.responses[200]!.content!['application/json']!.example).toEqual({ items: [exampleOf(Remark)], nextCursor: null })
  })

  it('has every problem by its status, and no answer of the library’s validator', async () => {
    const { paths } = await document()
    const { post } = paths['/v1/posts/{id}/comments']!
    expect(Object.keys(post!.responses)).toEqual(['201', '400', '401', '404', '409', '413', '415', '422', '429', '500', '503'])
    expect(Object.keys(post!.responses[422]!.content!['application/problem+json']!.examples!)).toEqual([
      'media_not_found',
      'validation_failed',
      'idempotency_key_reused',
    ])
    expect(JSON.stringify(paths)).not.toContain('Validation Error')
    expect(JSON.stringify(paths)).not.toContain('x-problems')
    expect(Object.keys(paths['/v1/comments/{id}']!.get!.responses)).toContain('304')
  })

  it('a route without a description, a body without an example and a wrong example are found', async () => {
    const bare = new Hono<HttpEnv>()
    bare.get('/v1/bare', c => c.text(''))
    bare.get('/v1/no-example', about('x', { tag: 'x', responses: { 200: v.object({ name: v.string() }) } }), c => c.text(''))
    bare.get(
      '/v1/wrong',
      about('x', { tag: 'x', responses: { 200: { schema: v.object({ id: PostId }), example: { id: 'no id' } } } }),
      c => c.text(''),
    )
    const findings = await openApiFindings(bare, await document(bare))
    expect(findings.filter(finding => !finding.startsWith('GET /v1/wrong'))).toEqual([
      'GET /v1/bare has no description',
      'GET /v1/no-example 200 (application/json) has no example',
    ])
    expect(findings.some(finding => finding.startsWith('GET /v1/wrong'))).toBe(true)
  })

  it('a token that is needed and not said, or said and not needed, is found', async () => {
    const app = new Hono<HttpEnv>()
    app.get('/v1/open', about('x', { tag: 'x', responses: { 204: null } }), c => c.body(null, 204))
    app.get('/v1/closed/:id', about('x', { tag: 'x', auth: 'none', responses: { 204: null } }), params({ id: PostId }), c =>
      c.body(null, 401),
    )
    expect(await authFindings(app, await document(app))).toEqual([
      'GET /v1/open is said to need a token, and answers 204 without',
      'GET /v1/closed/{id} is said to need no token, and answers 401',
    ])
  })

  it('two models of one name are refused', () => {
    expect(() => model('Writer', v.object({}))).toThrow('two models')
  })

  it('a body that would drop unknown members is refused when it is written', () => {
    expect(() => body(v.object({ a: v.string() }))).toThrow('strictObject')
    expect(() => body(v.strictObject({ a: v.array(v.object({})) }))).toThrow('strictObject')
  })
})

describe('/docs', () => {
  it('shows every operation, its parameters, examples and a curl line, and runs no script', async () => {
    const answer = await app().request('/docs')
    const html = await answer.text()
    expect(answer.headers.get('content-type')).toContain('text/html')
    expect(answer.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-[\w+/=]+'; /)
    expect(html).toContain('/v1/posts/{id}/comments')
    expect(html).toContain('curl -X POST')
    expect(html).toContain('id="model-Remark"')
    expect(html).toContain('<tr id="validation_failed">')
    expect(html).not.toMatch(/<script|http:\/\/(?!localhost)|src=/)
  })

  it('escapes all that the document says', async () => {
    const hostile = `<img src=x onerror=alert(1)>'"&`
    const page = docsPage(
      JSON.parse(JSON.stringify(await document()).replaceAll(/Remark|Comment/g, JSON.stringify(hostile).slice(1, -1))),
    )
    expect(page.html).not.toContain('<img')
    expect(page.html).not.toContain('<b>light')
  })

  it('/openapi.json is the document', async () => {
    const answer = await app().request('/openapi.json')
    expect(answer.headers.get('content-type')).toBe('application/json')
    expect(await answer.json()).toEqual(JSON.parse(JSON.stringify(await document())))
  })
})
