import fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { pageQuery } from '../../../src/kernel/cursor.ts'
import { routes } from '../../../src/kernel/http/env.ts'
import { onError, onNotFound } from '../../../src/kernel/http/problems.ts'
import { queryList } from '../../../src/kernel/http/schema.ts'
import { body, params, query } from '../../../src/kernel/http/validate.ts'

const Id = v.pipe(v.string(), v.uuid())
const id = '018f6e5a-7c1d-4b7e-9a51-3f0c2d9b8e14'
const Registration = v.strictObject({
  name: v.pipe(v.string(), v.minLength(2), v.maxLength(8)),
  password: v.optional(v.pipe(v.string(), v.minLength(8))),
  email: v.optional(v.pipe(v.string(), v.email())),
  tags: v.optional(v.array(v.strictObject({ x: v.optional(v.number()) }))),
  audience: v.optional(v.union([v.picklist(['public', 'followers']), v.strictObject({ accountIds: v.array(Id) })])),
})

const app = routes()
  .post('/json', body(Registration), c => c.json(c.var.body))
  .patch('/json', body(v.strictObject({ bio: v.nullish(v.string()) })), c => c.json(c.var.body))
  .put('/optional', body(v.optional(v.strictObject({ upToId: v.optional(Id) }), {})), c => c.json(c.var.body))
  .post('/free', body(v.record(v.string(), v.unknown())), c => c.json(c.var.body))
  .get('/list', query({ ...pageQuery, ids: v.optional(queryList(Id, 2)) }), c => c.json(c.var.query))
  .get('/things/:id', params({ id: Id }), c => c.json(c.var.params))
  .get('/tags/:tag', params({ tag: v.string() }), c => c.json(c.var.params))
app.onError(onError(() => null))
app.notFound(onNotFound(app))

const json = { 'content-type': 'application/json' }

async function send(
  method: string,
  path: string,
  content?: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = json,
) {
  const answer = await app.request(path, { method, ...(content === undefined ? {} : { body: content }), headers })
  const text = await answer.text()
  return { status: answer.status, headers: answer.headers, text, json: text === '' ? null : JSON.parse(text) }
}

const errorsOf = async (content: string) => {
  const { status, json } = await send('POST', '/json', content)
  expect(status).toBe(422)
  expect(json.code).toBe('validation_failed')
  return json.errors
}

describe('a JSON body', () => {
  it('comes as the schema says, in NFC', async () => {
    const { status, json } = await send('POST', '/json', '{"name":"Zoe\\u0301"}')
    expect([status, json]).toEqual([200, { name: 'Zo\u00e9' }])
  })

  it.each([
    ['nothing', '', 'The body is empty; it must be JSON.'],
    ['half an object', '{"name":\n  "ab"', 'The body is not JSON: line 2, column 7.'],
    ['a trailing comma', '{"name":"ab",}', 'The body is not JSON: line 1, column 14.'],
    ['a bare word', '{"name": secret}', 'The body is not JSON: line 1, column 10.'],
    ['a raw line break in text', '"a\nb"', 'The body is not JSON: line 1, column 1.'],
    ['two values', '1 2', 'The body is not JSON: line 1, column 3.'],
    ['brackets that do not match', '[1}', 'The body is not JSON: line 1, column 3.'],
  ])('%s is 400, saying where', async (_, content, detail) => {
    const { status, json, headers } = await send('POST', '/json', content)
    expect([status, json.code, json.detail]).toEqual([400, 'malformed', detail])
    expect(headers.get('content-type')).toBe('application/problem+json')
  })

  it('that is no UTF-8 is 400', async () => {
    expect(await send('POST', '/json', new Uint8Array([0x22, 0xff, 0xfe, 0x22]))).toMatchObject({ status: 400 })
    expect(await send('POST', '/json', new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22]))).toMatchObject({ status: 400 })
  })

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=utf-16', 'application/jsonp', ''])(
    'of type "%s" is 415',
    async type => {
      expect((await send('POST', '/json', '{"name":"ab"}', { 'content-type': type })).json.code).toBe('unsupported_media_type')
    },
  )

  it.each(['application/json; charset=UTF-8', 'Application/JSON', 'application/merge-patch+json'])(
    'of type "%s" is taken',
    async type => {
      expect((await send('POST', '/json', '{"name":"ab"}', { 'content-type': type })).status).toBe(200)
    },
  )

  it('that is compressed is 415', async () => {
    expect((await send('POST', '/json', '{"name":"ab"}', { ...json, 'content-encoding': 'gzip' })).status).toBe(415)
  })

  it('over 1 MiB is 413, declared or streamed, and no more than that is read of it', async () => {
    expect((await send('POST', '/json', `"${'a'.repeat(1024 * 1024)}"`, { ...json, 'content-length': '1048578' })).status).toBe(
      413,
    )
    let chunks = 0
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        chunks++
        controller.enqueue(new Uint8Array(64 * 1024).fill(0x20))
      },
    })
    const answer = await app.request('/json', { method: 'POST', body: endless, headers: json, duplex: 'half' } as RequestInit)
    expect(answer.status).toBe(413)
    expect(chunks).toBeLessThan(20)
  })

  it.each([
    ['[]', '', 'must be an object'],
    ['null', '', 'must be an object'],
    ['"text"', '', 'must be an object'],
    ['7', '', 'must be an object'],
    ['{}', '/name', 'is required'],
    ['{"name":null}', '/name', 'must be text'],
    ['{"name":"ab","role":"admin"}', '/role', 'is not known here'],
    ['{"name":"ab","toString":1}', '/toString', 'is not known here'],
    ['{"name":"ab","__proto__":{"admin":true}}', '/__proto__', 'is no name that is known here'],
    ['{"name":"ab","a/b~c":1}', '/a~1b~0c', 'is not known here'],
    ['{"name":"ab","tags":[{},[]]}', '/tags/1', 'must be an object'],
    ['{"name":"ab","tags":[{"x":1e999}]}', '/tags/0/x', 'is too large a number'],
    ['{"name":"ab","tags":[{"y":1}]}', '/tags/0/y', 'is not known here'],
    ['{"name":"a\\u0000b"}', '/name', 'must not hold the character NUL'],
    ['{"name":"a\\ud800"}', '/name', 'must not hold half a character (a lone surrogate)'],
    ['{"name":"a"}', '/name', 'must have at least 2 characters'],
    ['{"name":"ab","email":"nobody"}', '/email', 'must be an email address'],
    ['{"name":"ab","audience":"all"}', '/audience', 'must be "public" or "followers" or an object'],
    [`{"name":"ab","audience":{"accountIds":["${id}"],"x":1}}`, '/audience/x', 'is not known here'],
    ['{"name":"ab","audience":{}}', '/audience/accountIds', 'is required'],
    ['{"name":"ab","audience":{"accountIds":"x"}}', '/audience/accountIds', 'must be a list'],
    ['{"name":"ab","audience":[]}', '/audience', 'must be "public" or "followers" or an object'],
  ])('%s is 422 at %s', async (content, path, message) => {
    expect(await errorsOf(content)).toEqual([{ path, message }])
  })

  it('deeper than 32 is 422, whatever its depth', async () => {
    expect((await errorsOf(`${'['.repeat(33)}${']'.repeat(33)}`))[0].path).toBe('/0'.repeat(32))
    expect(await errorsOf(`${'['.repeat(500_000)}${']'.repeat(500_000)}`)).toHaveLength(1)
  })

  it('with a list that is longer than any may be is 422 before its entries are looked at', async () => {
    const errors = await errorsOf(`{"name":"ab","tags":[${Array(300_000).fill('{}').join()}]}`)
    expect(errors).toEqual([{ path: '/tags', message: 'must not have more than 1000 entries' }])
  })

  it('is told all its errors at once, a hundred at most', async () => {
    expect(await errorsOf('{"name":"a","password":"1","email":"x"}')).toHaveLength(3)
    expect(await errorsOf(`{"name":"ab","tags":[${Array(1000).fill('1').join()}]}`)).toHaveLength(100)
  })

  it('never comes back in an error', async () => {
    for (const content of [
      '{"name":"ab","password":"hunter2"}',
      '{"name":"ab","email":"hunter2"}',
      '{"name":hunter2}',
      '{"audience":"hunter2","name":"ab"}',
    ]) {
      const { status, text } = await send('POST', '/json', content)
      expect(status).toBeGreaterThanOrEqual(400)
      expect(text).not.toContain('hunter2')
    }
  })

  it('an empty list is no empty patch', async () => {
    expect((await send('PATCH', '/json', '[]')).status).toBe(422)
    expect((await send('PATCH', '/json', '{}')).json).toEqual({})
    expect((await send('PATCH', '/json', '{"bio":null}')).json).toEqual({ bio: null })
  })

  it('may be empty where the schema takes nothing', async () => {
    expect(await send('PUT', '/optional', undefined, {})).toMatchObject({ status: 200, json: {} })
    expect((await send('PUT', '/optional', '{"upToId":"x"}')).status).toBe(422)
  })

  it('a name given twice counts once, and no member reaches a prototype', async () => {
    expect((await send('POST', '/json', '{"name":"ab","name":"cd"}')).json).toEqual({ name: 'cd' })
    expect((await send('POST', '/free', '{"__proto__":{"admin":true}}')).status).toBe(422)
    expect(Reflect.get({}, 'admin')).toBeUndefined()
  })

  it('any bytes at all never give a 5xx', async () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.string({ unit: 'binary' }).map(text => new TextEncoder().encode(text)),
      fc.jsonValue({ maxDepth: 6, stringUnit: 'binary' }).map(value => new TextEncoder().encode(JSON.stringify(value))),
      fc
        .json({ stringUnit: 'binary' })
        .chain(text => fc.nat(text.length).map(cut => new TextEncoder().encode(text.slice(0, cut)))),
    )
    const types = fc.oneof(
      fc.constant('application/json'),
      fc.string().filter(type => /^[ -~]*$/.test(type)),
    )
    await fc.assert(
      fc.asyncProperty(
        bytes,
        types,
        fc.constantFrom('POST /json', 'PATCH /json', 'PUT /optional', 'POST /free'),
        async (content, type, route) => {
          const [method, path] = route.split(' ')
          const answer = await app.request(path!, {
            method: method!,
            body: new Uint8Array(content),
            headers: { 'content-type': type },
          })
          expect(answer.status).toBeLessThan(500)
          if (answer.status >= 400) expect(await answer.json()).toMatchObject({ status: answer.status, code: expect.any(String) })
        },
      ),
      { numRuns: 500 },
    )
  })

  it('what is refused as JSON is placed within the text, whatever it is', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.json({ stringUnit: 'binary-ascii' }),
        fc.nat(),
        fc.constantFrom('', '}', ']', ',', ':', '"', 'x', '1', '\\'),
        async (text, at, noise) => {
          const cut = at % (text.length + 1)
          const content = text.slice(0, cut) + noise + text.slice(cut + 1)
          const { status, json } = await send('POST', '/free', content)
          if (status !== 400 || content === '') return
          const [, line, column] = /line (\d+), column (\d+)/.exec(json.detail)!
          const lines = content.split('\n')
          expect(Number(line)).toBeLessThanOrEqual(lines.length)
          expect(Number(column)).toBeLessThanOrEqual(lines[Number(line) - 1]!.length + 1)
        },
      ),
      { numRuns: 300 },
    )
  })
})

describe('a query', () => {
  it('is parsed, with defaults', async () => {
    expect((await send('GET', '/list')).json).toEqual({ limit: 20 })
    expect((await send('GET', `/list?limit=5&ids=${id},${id}`)).json).toEqual({ limit: 5, ids: [id, id] })
  })

  it.each([
    ['limit=0', '/limit'],
    ['limit=101', '/limit'],
    ['limit=ten', '/limit'],
    ['limit=', '/limit'],
    ['limit=1e1', '/limit'],
    ['limit=5&limit=5', '/limit'],
    ['order=top', '/order'],
    ['ids=a', '/ids/0'],
    [`ids=${id},${id},${id}`, '/ids'],
    ['cursor=%00', '/cursor'],
    ['__proto__=1', '/__proto__'],
  ])('%s is 422 at %s', async (text, path) => {
    const { status, json } = await send('GET', `/list?${text}`)
    expect([status, json.errors[0].path]).toEqual([422, path])
  })

  it.each(['cursor=%', 'cursor=%ff', '%ED%A0%80=1'])('%s is 400', async text => {
    expect((await send('GET', `/list?${text}`)).json.code).toBe('malformed')
  })
})

describe('a path', () => {
  it('gives its parameters, in NFC', async () => {
    expect((await send('GET', `/things/${id}`)).json).toEqual({ id })
    expect((await send('GET', '/tags/zoe%CC%81')).json).toEqual({ tag: 'zo\u00e9' })
  })

  it.each(['/things/1', `/things/${id}%00`, '/things/%', '/things/%ff', '/tags/%00', '/nowhere', '/%', '/%c0%af'])(
    '%s is 404',
    async path => {
      expect((await send('GET', path)).json).toMatchObject({ status: 404, code: 'not_found' })
    },
  )

  it('any path never gives a 5xx', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: fc.constantFrom('%', '0', 'f', 'e', '/', '.', ';', 'things', 'tags', '?', '&', '=', 'list', 'limit') }),
        async path => {
          expect((await app.request(`http://localhost/${path}`)).status).toBeLessThan(500)
        },
      ),
    )
  })

  it('with another method is 405 and says which it takes', async () => {
    const { status, json, headers } = await send('DELETE', '/json')
    expect([status, json.code, headers.get('allow')]).toEqual([405, 'method_not_allowed', 'POST, PATCH, OPTIONS'])
    expect((await send('POST', '/list', '{}')).headers.get('allow')).toBe('GET, HEAD, OPTIONS')
    expect((await app.request('/list', { method: 'HEAD' })).status).toBe(200)
    expect(await send('OPTIONS', '/list')).toMatchObject({ status: 204, text: '' })
  })
})
