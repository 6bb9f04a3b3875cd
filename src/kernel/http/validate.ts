import type { MiddlewareHandler } from 'hono'
import * as v from 'valibot'
import { notFound, Problem } from '../problem.ts'
import { type Described, described, resolvable } from './describe.ts'
import { readJson } from './json.ts'
import { parse, validationFailed } from './parse.ts'
import { exampleOf, jsonSchema, plain, schemasIn } from './schema.ts'
import { cleanText } from './text.ts'

/**
 * The JSON body, as `c.get('body')`. Objects must be `v.strictObject`: a member that is not built is refused, never ignored.
 * An empty body is taken where the schema takes undefined. The document's request body comes from the same schema.
 *
 * Answers 400 for what is no JSON, 413 over 1 MiB, 415 for other types, 422 with the place for the wrong form.
 * @throws when the schema holds a `v.object`, which would drop unknown members in silence
 */
export function body<S extends v.GenericSchema>(schema: S): MiddlewareHandler<{ Variables: { body: v.InferOutput<S> } }> {
  for (const part of schemasIn(schema)) if (part.type === 'object') throw new Error('A body takes v.strictObject, not v.object.')
  const optional = v.is(schema, undefined)
  return described(
    async (c, next) => {
      const value = await readJson(c.req.raw)
      if (value === undefined && !optional) throw new Problem('malformed', 'The body is empty; it must be JSON.')
      c.set('body', parse(schema, value))
      await next()
    },
    {
      requestBody: {
        required: !optional,
        content: { 'application/json': { ...resolvable(schema), example: exampleOf(schema) } },
      },
      'x-problems': ['malformed', 'payload_too_large', 'unsupported_media_type', 'validation_failed'],
    },
  )
}

/**
 * The query's parameters, as `c.get('query')`: `query({ ...pageQuery, order: v.optional(v.picklist(['top', 'recent']), 'top') })`.
 * Each schema takes text and may turn it into something else (see queryInteger, queryList). Answers 422 for an unknown or repeated one.
 */
export function query<E extends v.ObjectEntries>(
  entries: E,
): MiddlewareHandler<{ Variables: { query: v.InferOutput<v.StrictObjectSchema<E, undefined>> } }> {
  const schema = v.strictObject(entries)
  return described(
    async (c, next) => {
      c.set('query', parse(schema, queryOf(c.req.url)))
      await next()
    },
    { parameters: parametersOf('query', schema), 'x-problems': ['malformed', 'validation_failed'] },
  )
}

/** The path's parameters, as `c.get('params')`: `params({ id: PostId })`. A malformed one is 404, as an unknown one is. */
export function params<E extends v.ObjectEntries>(
  entries: E,
): MiddlewareHandler<{ Variables: { params: v.InferOutput<v.ObjectSchema<E, undefined>> } }> {
  const schema = v.object(entries)
  return described(
    async (c, next) => {
      const sent: Record<string, string> = {}
      for (const [name, text] of Object.entries<string>(c.req.param())) sent[name] = text.normalize('NFC')
      const result = Object.values(sent).some(text => text.includes('\0') || !text.isWellFormed())
        ? null
        : v.safeParse(schema, sent)
      if (!result?.success) throw notFound('thing')
      c.set('params', result.output)
      await next()
    },
    { parameters: parametersOf('path', schema), 'x-problems': ['not_found'] },
  )
}

/**
 * A URL's query as an object of strings.
 * @throws Problem 400 for percent-encoding that is no UTF-8, 422 for a repeated parameter
 */
function queryOf(url: string): Record<string, string> {
  const at = url.indexOf('?')
  const sent: Record<string, string> = Object.create(null)
  for (const pair of at === -1 ? [] : url.slice(at + 1).split('&')) {
    if (pair === '') continue
    const [name = '', ...rest] = pair.split('=')
    const key = decode(name)
    if (key in sent) throw validationFailed([{ path: `/${key.slice(0, 100)}`, message: 'must not be repeated' }])
    sent[key] = cleanText(decode(rest.join('=')), `/${cleanText(key, '/').slice(0, 100)}`)
  }
  return sent
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch (cause) {
    throw new Problem('malformed', 'The query is not percent-encoded UTF-8.', { cause })
  }
}

function parametersOf(place: 'query' | 'path', { entries }: { entries: v.ObjectEntries }) {
  const parameters = Object.entries(entries).map(([name, entry]) => {
    const { schema } = jsonSchema(entry)
    const required = place === 'path' || !v.is(v.strictObject({ [name]: entry }), {})
    // The schema's default is text, as all in a query is.
    const value = schema.type === 'integer' && schema.default !== undefined ? { default: Number(schema.default) } : {}
    return {
      name,
      in: place,
      required,
      description: schema.description,
      schema: { ...schema, ...value },
      example: exampleOf(entry),
    }
  })
  return plain<NonNullable<Described['parameters']>>(parameters)
}
