import type { Env, MiddlewareHandler } from 'hono'
import { type DescribeRouteOptions, type ResolverReturnType, resolver, uniqueSymbol } from 'hono-openapi'
import type * as v from 'valibot'
import type { ProblemCode } from '../problem.ts'
import { exampleOf, isSchema, jsonSchema } from './schema.ts'

/** What a middleware adds to the description of the routes that it stands before. Problem codes of all of them are gathered. */
export type Described = DescribeRouteOptions & { 'x-problems'?: readonly ProblemCode[]; 'x-etag'?: boolean }

/** A middleware that carries its part of the OpenAPI document. */
export const described = <E extends Env>(handler: MiddlewareHandler<E>, spec: Described): MiddlewareHandler<E> =>
  Object.assign(handler, { [uniqueSymbol]: { spec } })

type Answer =
  /** JSON in this form; its example is the schema's. */
  | v.GenericSchema
  /** No body. */
  | null
  /** Anything else: another example, or a body that is no JSON (`type: 'image/*'`). */
  | { description?: string; schema?: v.GenericSchema; example?: unknown; type?: string; headers?: Record<string, string> }

export type RouteDescription = {
  /** The heading it stands under in /docs. */
  tag: string
  description?: string
  /** Whether it wants an access token; `required` unless said. */
  auth?: 'required' | 'optional' | 'none'
  /** Answers by status, without problems. */
  responses: Readonly<Record<number, Answer>>
  /** The codes of its own problems. Those of body, query, params, of signing in and of every route are added. */
  problems?: readonly ProblemCode[]
  /** Carries an ETag: If-None-Match for a GET, If-Match for a PATCH. */
  etag?: boolean
  /** A request body that is no JSON, by media type: `{ 'image/*': 'The picture itself' }`. JSON is described by `body`. */
  accepts?: Readonly<Record<string, string>>
}

/** Describes a route in the OpenAPI document; does nothing to the request. One stands before every route. */
export function describe(summary: string, about: RouteDescription): MiddlewareHandler {
  const { auth = 'required' } = about
  return described((_, next) => next(), {
    summary,
    tags: [about.tag],
    ...(about.description === undefined ? {} : { description: about.description }),
    security: auth === 'required' ? [{ accessToken: [] }] : auth === 'optional' ? [{ accessToken: [] }, {}] : [],
    responses: Object.fromEntries(
      Object.entries(about.responses).map(([status, answer]) => [status, response(Number(status), answer)]),
    ),
    ...(about.accepts === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: Object.fromEntries(
              Object.entries(about.accepts).map(([type, text]) => [type, { schema: binary(type, text) }]),
            ),
          },
        }),
    'x-problems': [...(auth === 'none' ? [] : signingIn), ...(about.problems ?? [])],
    'x-etag': about.etag ?? false,
  })
}

const signingIn = ['authentication_required', 'access_token_invalid', 'access_token_expired', 'session_revoked'] as const

const binary = (type: string, description: string) =>
  type.startsWith('multipart/')
    ? {
        type: 'object' as const,
        description,
        properties: { file: { type: 'string' as const, contentMediaType: 'application/octet-stream' } },
        required: ['file'],
      }
    : { type: 'string' as const, description, contentMediaType: type }

const statusTexts: Record<number, string> = {
  200: 'Done',
  201: 'Made',
  202: 'Accepted; it happens later',
  204: 'Done',
  304: 'Unchanged',
}

function response(status: number, answer: Answer) {
  const about = answer === null ? {} : isSchema(answer) ? { schema: answer } : answer
  const description = about.description ?? statusTexts[status] ?? 'Done'
  const headers = about.headers && {
    headers: Object.fromEntries(
      Object.entries(about.headers).map(([name, text]) => [name, { description: text, schema: { type: 'string' as const } }]),
    ),
  }
  if (about.schema === undefined) {
    return {
      description,
      ...headers,
      ...(about.type === undefined ? {} : { content: { [about.type]: { schema: binary(about.type, description) } } }),
    }
  }
  const content = { ...resolvable(about.schema), example: about.example ?? exampleOf(about.schema) }
  return { description, ...headers, content: { [about.type ?? 'application/json']: content } }
}

/** The schema for hono-openapi to put into the document, by our conversion instead of its own. */
export function resolvable(schema: v.GenericSchema): { schema: ResolverReturnType } {
  return {
    schema: {
      ...resolver(schema),
      toOpenAPISchema: async () => {
        const { schema: json, models } = jsonSchema(schema)
        return { schema: json, components: { schemas: models } }
      },
    },
  }
}
