import { HTTPException } from 'hono/http-exception'
import pino from 'pino'
import { describe, expect, it, vi } from 'vitest'
import { databaseProblem } from '../../../src/adapters/postgres/database.ts'
import { json } from '../../../src/kernel/http/answer.ts'
import { type HttpOptions, httpApp } from '../../../src/kernel/http/app.ts'
import { clientAddresses, network } from '../../../src/kernel/http/client-address.ts'
import { consistencyTokens, idempotencyKey, ifMatch, noStore, withEtag } from '../../../src/kernel/http/headers.ts'
import { limited, policies } from '../../../src/kernel/http/rate-limit.ts'
import { Metrics } from '../../../src/kernel/metrics.ts'
import { Problem } from '../../../src/kernel/problem.ts'
import { StartupError } from '../../../src/kernel/startup-error.ts'

function setUp(options: Partial<HttpOptions> = {}) {
  const lines: Record<string, unknown>[] = []
  const observed: unknown[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) })
  const app = httpApp({
    log,
    publicUrl: 'http://localhost:3000',
    corsOrigins: [],
    trustedProxies: [],
    rateLimit: true,
    classify: databaseProblem,
    observe: answer => observed.push(answer),
    ...options,
  })
  app.get('/v1/things/:id', c => withEtag(c, { id: c.req.param('id') }, 7))
  app.patch('/v1/things/:id', c => c.json({ expected: ifMatch(c) ?? null }))
  app.post('/v1/things', c => c.json({ key: idempotencyKey(c) ?? null, tokens: consistencyTokens(c) }, 201))
  app.get('/v1/secret', c => {
    noStore(c)
    return json(c, {})
  })
  app.get('/v1/address', c => c.text(c.var.clientAddress))
  app.get('/v1/raw', () => new Response('raw', { headers: { 'Content-Security-Policy': 'sandbox' } }))
  app.get('/v1/as/:account', async c => {
    await c.var.limits.identify(c.req.param('account'))
    return c.json({})
  })
  app.post('/v1/upload', limited('upload'), c => c.json({}))
  const thrown: Record<string, unknown> = {
    problem: new Problem('access_token_expired', 'It has expired.'),
    credentials: new Problem('invalid_credentials', 'Wrong.'),
    plain: new Error('the secret of the house'),
    type: new TypeError('x is undefined'),
    http: new HTTPException(413, { message: 'library text' }),
    refused: Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }),
    shutdown: Object.assign(new Error('terminating'), { code: '57P01' }),
    full: Object.assign(new Error('too many connections'), { code: '53300' }),
    uri: new URIError('URI malformed'),
  }
  app.get('/v1/throw/:what', c => {
    throw thrown[c.req.param('what')]
  })
  return { app, lines, observed }
}

it('503s are counted by their cause, other answers are not', async () => {
  const metrics = new Metrics()
  const { app } = setUp({ observe: metrics.answered })
  for (const what of ['refused', 'full', 'problem', 'plain']) await app.request(`/v1/throw/${what}`)
  const text = await metrics.registry.getSingleMetricAsString('darkroom_unavailable_total')
  expect(text.split('\n').filter(line => line.startsWith('darkroom'))).toEqual([
    'darkroom_unavailable_total{cause="The database does not answer right now"} 2',
  ])
})

type Body = { expected?: number; key?: string; tokens?: string[]; errors?: { path: string }[] }
const bodyOf = async (answer: Response): Promise<Body> => answer.json() as Promise<Body>

describe('what is thrown', () => {
  it.each([
    ['problem', 401, 'access_token_expired'],
    ['plain', 500, 'internal'],
    ['type', 500, 'internal'],
    ['http', 413, 'payload_too_large'],
    ['refused', 503, 'unavailable'],
    ['shutdown', 503, 'unavailable'],
    ['full', 503, 'unavailable'],
    ['uri', 400, 'malformed'],
  ])('%s answers %i %s with all manners', async (what, status, code) => {
    const answer = await setUp().app.request(`/v1/throw/${what}`)
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    for (const name of ['x-request-id', 'ratelimit', 'ratelimit-policy', 'x-content-type-options'])
      expect(answer.headers.has(name)).toBe(true)
    expect(answer.headers.has('retry-after')).toBe(status === 503)
    expect(await answer.json()).toMatchObject({
      status,
      code,
      type: `/docs#${code}`,
      title: expect.any(String),
      detail: expect.any(String),
    })
  })

  it('a fault of ours is logged with the request id and tells nothing', async () => {
    const { app, lines } = setUp()
    const answer = await app.request('/v1/throw/plain', { headers: { 'x-request-id': 'abcdefgh-1' } })
    expect(await answer.text()).not.toContain('secret of the house')
    expect(lines).toContainEqual(
      expect.objectContaining({
        level: 50,
        requestId: 'abcdefgh-1',
        err: expect.objectContaining({ message: 'the secret of the house' }),
      }),
    )
  })

  it('401 names its challenge', async () => {
    const { app } = setUp()
    expect((await app.request('/v1/throw/problem')).headers.get('www-authenticate')).toMatch(
      /^Bearer realm="darkroom", error="invalid_token"/,
    )
    expect((await app.request('/v1/throw/credentials')).headers.get('www-authenticate')).toBe('Bearer realm="darkroom"')
  })
})

describe('a request', () => {
  it('keeps a sane id and gets one instead of any other', async () => {
    const { app } = setUp()
    const idOf = async (sent?: string) =>
      (await app.request('/v1/secret', { headers: sent === undefined ? {} : { 'x-request-id': sent } })).headers.get(
        'x-request-id',
      )
    expect(await idOf('my-request-1')).toBe('my-request-1')
    for (const sent of [undefined, 'short', 'has spaces in it', 'x'.repeat(65)])
      expect(await idOf(sent)).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('is logged by its route, without query, token or body', async () => {
    const { app, lines, observed } = setUp()
    await app.request('/v1/things/123?ticket=hush', { headers: { authorization: 'Bearer hush' } })
    await app.request('/v1/nowhere-hush')
    expect(lines[0]).toMatchObject({
      method: 'GET',
      route: '/v1/things/:id',
      status: 200,
      ms: expect.any(Number),
      requestId: expect.any(String),
    })
    expect(lines[1]).toMatchObject({ route: 'none', status: 404 })
    expect(JSON.stringify(lines)).not.toContain('hush')
    expect(observed).toHaveLength(2)
  })

  it('gets the headers that protect browsers, but for what the route sets itself', async () => {
    const { headers } = await setUp({ publicUrl: 'https://photos.example' }).app.request('/v1/secret')
    expect(Object.fromEntries(headers)).toMatchObject({
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
      'strict-transport-security': expect.stringContaining('max-age='),
      'cache-control': 'no-store',
    })
    const raw = await setUp().app.request('/v1/raw')
    expect(raw.headers.get('content-security-policy')).toBe('sandbox')
    expect(raw.headers.has('strict-transport-security')).toBe(false)
  })

  it('is private to who signed it', async () => {
    const { app } = setUp()
    const signedIn = await app.request('/v1/things/1', { headers: { authorization: 'Bearer x' } })
    expect([signedIn.headers.get('cache-control'), signedIn.headers.get('vary')]).toEqual(['private, no-cache', 'Authorization'])
    expect((await app.request('/v1/things/1')).headers.get('cache-control')).toBe('no-cache')
  })
})

describe('CORS', () => {
  const origin = 'https://app.example'
  const preflight = { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'PATCH' } }

  it('is off by default', async () => {
    const { app } = setUp()
    expect((await app.request('/v1/things/1', { headers: { origin } })).headers.has('access-control-allow-origin')).toBe(false)
    expect((await app.request('/v1/things/1', preflight)).headers.has('access-control-allow-origin')).toBe(false)
  })

  it('lets listed origins read answers and refusals, without credentials', async () => {
    const { app } = setUp({ corsOrigins: [origin] })
    for (const path of ['/v1/things/1', '/v1/nowhere', '/v1/throw/plain']) {
      const { headers } = await app.request(path, { headers: { origin } })
      expect(headers.get('access-control-allow-origin')).toBe(origin)
      expect(headers.has('access-control-allow-credentials')).toBe(false)
      for (const name of ['Consistency-Token', 'Retry-After', 'RateLimit', 'ETag', 'Location', 'X-Request-Id'])
        expect(headers.get('access-control-expose-headers')).toContain(name)
      expect(headers.get('vary')).toContain('Origin')
    }
    expect(
      (await app.request('/v1/things/1', { headers: { origin: 'https://evil.example' } })).headers.has(
        'access-control-allow-origin',
      ),
    ).toBe(false)
  })

  it('answers preflights', async () => {
    const { status, headers } = await setUp({ corsOrigins: [origin] }).app.request('/v1/things/1', preflight)
    expect([status, headers.get('access-control-allow-origin')]).toEqual([204, origin])
    for (const name of ['Authorization', 'Content-Type', 'Idempotency-Key', 'Consistency-Token', 'If-Match', 'If-None-Match'])
      expect(headers.get('access-control-allow-headers')).toContain(name)
    expect(headers.get('access-control-allow-methods')).toContain('PATCH')
  })
})

describe('ETags', () => {
  it('are of revision and body, and spare a body that is known', async () => {
    const { app } = setUp()
    const first = await app.request('/v1/things/1')
    const etag = first.headers.get('etag')!
    expect(etag).toMatch(/^"7\.[\w-]{16}"$/)
    expect(await first.json()).toEqual({ id: '1' })
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const again = await app.request('/v1/things/1', { headers: { 'if-none-match': known } })
      expect([again.status, await again.text(), again.headers.get('etag')]).toEqual([304, '', etag])
    }
    for (const known of ['"7.other"', 'nonsense', '"', etag.slice(1)]) {
      expect((await app.request('/v1/things/1', { headers: { 'if-none-match': known } })).status).toBe(200)
    }
    expect((await app.request('/v1/things/2', { headers: { 'if-none-match': etag } })).status).toBe(200)
  })

  it('expect a revision in If-Match', async () => {
    const { app } = setUp()
    const sent = async (value?: string) => {
      const answer = await app.request('/v1/things/1', {
        method: 'PATCH',
        headers: value === undefined ? {} : { 'if-match': value },
      })
      return answer.status === 200 ? (await bodyOf(answer)).expected : answer.status
    }
    expect(await sent()).toBe(null)
    expect(await sent('*')).toBe(null)
    expect(await sent('"12.abc"')).toBe(12)
    expect(await sent('W/"12.abc"')).toBe(12)
    expect(await sent('"of-another-server"')).toBe(412)
    expect(await sent('"99999999999999999999.x"')).toBe(412)
    for (const value of ['12', '"1.a", "2.b"', '"', 'W/x']) expect(await sent(value)).toBe(400)
  })
})

describe('headers of commands', () => {
  const post = async (headers: Record<string, string>) => {
    const answer = await setUp().app.request('/v1/things', { method: 'POST', headers })
    return { status: answer.status, json: await bodyOf(answer) }
  }

  it('an Idempotency-Key is 1 to 255 visible characters', async () => {
    expect((await post({ 'idempotency-key': '"a/b~c"' })).json.key).toBe('"a/b~c"')
    expect((await post({})).json.key).toBe(null)
    for (const key of ['', 'a b', 'x'.repeat(256), '\u00e9']) {
      const { status, json } = await post({ 'idempotency-key': key })
      expect([status, json.errors?.[0]?.path]).toEqual([422, '/Idempotency-Key'])
    }
  })

  it('up to 8 consistency tokens', async () => {
    expect((await post({ 'consistency-token': 'a, b,,a' })).json.tokens).toEqual(['a', 'b'])
    expect((await post({ 'consistency-token': 'a,b,c,d,e,f,g,h,i' })).status).toBe(422)
  })
})

describe('a client’s address', () => {
  const of = (trusted: string[], socket: string, forwarded?: string) => clientAddresses(trusted)(socket, forwarded)

  it('is the socket’s, unless that is a trusted proxy', () => {
    expect(of([], '203.0.113.9', '1.2.3.4')).toBe('203.0.113.9')
    expect(of(['10.0.0.0/8'], '203.0.113.9', '1.2.3.4')).toBe('203.0.113.9')
    expect(of(['10.0.0.0/8'], '10.1.1.1', '1.2.3.4')).toBe('1.2.3.4')
    expect(of(['10.0.0.0/8'], '10.1.1.1')).toBe('10.1.1.1')
  })

  it('is the right-most that is no proxy; what the client wrote itself counts for nothing', () => {
    expect(of(['10.0.0.0/8', '192.0.2.7'], '10.1.1.1', '6.6.6.6, 1.2.3.4, 192.0.2.7, 10.2.2.2')).toBe('1.2.3.4')
    expect(of(['10.0.0.0/8'], '10.1.1.1', '6.6.6.6, nonsense, 10.2.2.2')).toBe('10.2.2.2')
    expect(of(['10.0.0.0/8'], '10.1.1.1', '10.3.3.3')).toBe('10.3.3.3')
    expect(of(['10.0.0.0/8'], '10.1.1.1', '')).toBe('10.1.1.1')
  })

  it('knows IPv4 in IPv6 dress, ports and brackets', () => {
    expect(of([], '::ffff:203.0.113.9')).toBe('203.0.113.9')
    expect(of(['10.0.0.0/8'], '::ffff:a01:101', '1.2.3.4:5678')).toBe('1.2.3.4')
    expect(of(['::ffff:10.0.0.1'], '10.0.0.1', '[2001:db8::1]:443')).toBe('2001:db8::1')
    expect(of(['2001:db8::/32'], '2001:db8::1', '2001:DB9::1')).toBe('2001:db9::1')
  })

  it.each(['10.0.0.0/33', 'proxy', '10.0.0/8', '1.2.3.4/8/8', '::1/129', '10.0.0.0/x', ''])(
    '"%s" as a proxy stops the start',
    range => {
      expect(() => clientAddresses([range])).toThrow(StartupError)
    },
  )

  it('reaches handlers', async () => {
    const { app } = setUp({ trustedProxies: ['127.0.0.1'] })
    expect(await (await app.request('/v1/address', { headers: { 'x-forwarded-for': '1.2.3.4' } })).text()).toBe('1.2.3.4')
  })

  it('counts by /64 in IPv6', () => {
    expect(network('2001:db8:1:2:3:4:5:6')).toBe(network('2001:db8:1:2::1'))
    expect(network('2001:db8:1:2::1')).not.toBe(network('2001:db8:1:3::1'))
    expect(network('203.0.113.9')).toBe('203.0.113.9')
  })
})

describe('rate limits', () => {
  it('say on every answer what is left', async () => {
    const { headers } = await setUp().app.request('/v1/as/ada')
    const [points, seconds] = policies.read
    expect(headers.get('ratelimit')).toMatch(
      new RegExp(`^"address";r=${policies.address[0] - 1};t=\\d+, "read";r=${points - 1};t=\\d+$`),
    )
    expect(headers.get('ratelimit-policy')).toBe(`"address";q=${policies.address[0]};w=60, "read";q=${points};w=${seconds}`)
  })

  it('send nobody away for longer than the window, also where the clock jumps back', async () => {
    const { app } = setUp()
    await app.request('/v1/as/ada')
    const now = vi.spyOn(Date, 'now').mockReturnValue(Date.now() - 3 * 3_600_000)
    const { headers } = await app.request('/v1/as/ada')
    now.mockRestore()
    expect(headers.get('ratelimit')).toMatch(/^"address";r=\d+;t=60, "read";r=\d+;t=60$/)
  })

  it('refuse an account that had its share, and nobody else', async () => {
    const { app } = setUp()
    const upload = async () => app.request('/v1/upload', { method: 'POST' })
    for (let i = 0; i < policies.upload[0]; i++) expect((await upload()).status).toBe(200)
    const refused = await upload()
    expect(refused.status).toBe(429)
    expect(await refused.json()).toMatchObject({ code: 'rate_limited' })
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(refused.headers.get('ratelimit')).toContain('"upload";r=0')
    expect((await app.request('/v1/as/ada')).status).toBe(200)
    const other = setUp({ trustedProxies: ['127.0.0.1'] }).app
    expect((await other.request('/v1/upload', { method: 'POST', headers: { 'x-forwarded-for': '1.2.3.4' } })).status).toBe(200)
  })

  it('refuse a network before anything is done, with all headers', async () => {
    const { app } = setUp()
    for (let i = 0; i < policies.address[0]; i++) await app.request('/v1/address')
    const { status, headers } = await app.request('/v1/address')
    expect([status, headers.get('ratelimit-policy')]).toEqual([429, `"address";q=${policies.address[0]};w=60`])
    for (const name of ['retry-after', 'ratelimit', 'x-request-id']) expect(headers.has(name)).toBe(true)
  })

  it('switched off refuse nothing and say so', async () => {
    const { app } = setUp({ rateLimit: false })
    for (let i = 0; i < policies.upload[0] + 1; i++)
      expect((await app.request('/v1/upload', { method: 'POST' })).status).toBe(200)
    expect((await app.request('/v1/as/ada')).headers.get('ratelimit')).toContain(`"read";r=${policies.read[0]}`)
  })
})
