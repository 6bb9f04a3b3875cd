import type { Hono } from 'hono'
import { generateSpecs } from 'hono-openapi'
import { Problem, type ProblemCode, problems } from '../problem.ts'
import type { HttpEnv } from './env.ts'
import { problemBody } from './problems.ts'
import { type JsonSchema, plain } from './schema.ts'

type Ref = { $ref: string }
export type Media = { schema: JsonSchema | Ref; example?: unknown; examples?: Record<string, Ref | { value: unknown }> }
export type Answer = { description: string; headers?: Record<string, unknown>; content?: Record<string, Media> }
export type Parameter = {
  name: string
  in: string
  required?: boolean
  description?: string
  schema: JsonSchema
  example?: unknown
}
export type Operation = {
  operationId: string
  summary: string
  description?: string
  tags: string[]
  security?: Record<string, string[]>[]
  parameters?: (Parameter | Ref)[]
  requestBody?: { required?: boolean; content: Record<string, Media> }
  responses: Record<string, Answer>
}
export type OpenApiDocument = {
  openapi: string
  info: { title: string; version: string; description: string }
  servers: { url: string }[]
  tags: { name: string }[]
  paths: Record<string, Record<string, Operation>>
  components: {
    schemas: Record<string, JsonSchema>
    parameters: Record<string, Parameter>
    headers: Record<string, { description: string; schema: JsonSchema }>
    examples: Record<string, { value: unknown }>
    securitySchemes: Record<string, unknown>
  }
}
/** As the routes' descriptions make it: what `describe` and the validators noted is still in it. */
type RawOperation = Partial<Operation> & { 'x-problems'?: ProblemCode[]; 'x-etag'?: boolean }

/** The OpenAPI 3.1 document of all described routes, paths in full. Made once: the routes do not change while the server runs. */
export async function openApiDocument(
  app: Hono<HttpEnv>,
  about: { version: string; publicUrl?: string },
): Promise<OpenApiDocument> {
  const info = { title: 'Darkroom', version: about.version, description: introduction }
  const raw = plain<{
    paths: Record<string, Record<string, RawOperation>>
    components: { schemas?: Record<string, JsonSchema> }
  }>(await generateSpecs(app, { documentation: { info }, excludeStaticFile: false, defaultValidationErrorResponse: false }))
  const paths: OpenApiDocument['paths'] = {}
  const tags = new Set<string>()
  for (const [path, operations] of Object.entries(raw.paths)) {
    // A path that has validators only is no route.
    const described = Object.entries(operations).filter(([, operation]) => operation.summary !== undefined)
    for (const [method, operation] of described) {
      paths[path] = { ...paths[path], [method]: complete(path, method, operation) }
      for (const tag of operation.tags ?? []) tags.add(tag)
    }
  }
  return {
    openapi: '3.1.0',
    info,
    servers: [{ url: about.publicUrl ?? '/' }],
    tags: [...tags].map(name => ({ name })),
    paths,
    components: {
      schemas: { ...sorted(raw.components.schemas ?? {}), Problem: problemSchema },
      parameters,
      headers,
      examples: Object.fromEntries(codes.map(code => [code, { value: problemBody(exampleProblem(code)) }])),
      securitySchemes: {
        accessToken: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'From POST /v1/sessions; lives 15 minutes.',
        },
      },
    },
  }
}

const introduction = `A photo sharing network behind HTTP and a live channel.

Lists are {items, nextCursor}. Errors are problems (RFC 9457); act on their code. Every command answers with a Consistency-Token; a request that sends it
sees that command's effect. A POST may carry an Idempotency-Key: its repeats do nothing twice.`

const codes = Object.keys(problems).filter((code): code is ProblemCode => code in problems)

/** Adds what holds for every route: the shared parameters and headers, and the answers of its problems. */
function complete(
  path: string,
  method: string,
  { 'x-problems': own = [], 'x-etag': etag, ...operation }: RawOperation,
): Operation {
  const resource = path.startsWith('/v1/')
  const isCommand = resource && method !== 'get'
  const shared = [
    ...(resource ? ['Consistency-Token'] : []),
    ...(resource && method === 'post' ? ['Idempotency-Key'] : []),
    ...(etag && method === 'get' ? ['If-None-Match'] : []),
    ...(etag && method === 'patch' ? ['If-Match'] : []),
  ]
  const thrown: ProblemCode[] = [
    ...own,
    ...(resource ? (['consistency_token_invalid', 'consistency_token_expired', 'read_model_behind'] as const) : []),
    ...(resource && method === 'post' ? (['idempotency_key_reused', 'validation_failed'] as const) : []),
    ...(etag && method === 'patch' ? (['version_conflict'] as const) : []),
    'rate_limited',
    'internal',
    'unavailable',
  ]
  const responses: Record<string, Answer> = {}
  for (const [status, answer] of Object.entries(operation.responses ?? {})) {
    const extra = [
      'X-Request-Id',
      'RateLimit',
      'RateLimit-Policy',
      ...(isCommand ? ['Consistency-Token'] : []),
      ...(etag ? ['ETag'] : []),
    ]
    responses[status] = { ...answer, headers: { ...references('headers', extra), ...answer.headers } }
  }
  if (etag && method === 'get') responses[304] = { description: 'Unchanged since the ETag that was sent' }
  for (const [status, group] of Map.groupBy(new Set(thrown), code => problems[code][0])) responses[status] = problemAnswer(group)
  return {
    operationId: '',
    summary: '',
    tags: [],
    ...operation,
    parameters: [...(operation.parameters ?? []), ...shared.map(name => ({ $ref: `#/components/parameters/${name}` }))],
    responses,
  }
}

function problemAnswer(group: readonly ProblemCode[]): Answer {
  const status = problems[group[0]!][0]
  const extra = status === 401 ? ['WWW-Authenticate'] : status === 429 || status === 503 ? ['Retry-After'] : []
  return {
    description: group.map(code => `\`${code}\`: ${problems[code][1]}`).join('; '),
    headers: references('headers', ['X-Request-Id', ...extra]),
    content: {
      'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' }, examples: references('examples', group) },
    },
  }
}

const references = (kind: 'headers' | 'examples', names: readonly string[]): Record<string, Ref> =>
  Object.fromEntries(names.map(name => [name, { $ref: `#/components/${kind}/${name}` }]))

const sorted = <T>(record: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)))

const exampleProblem = (code: ProblemCode): Problem =>
  code === 'validation_failed'
    ? new Problem(code, '/caption must not have more than 2200 characters', {
        errors: [{ path: '/caption', message: 'must not have more than 2200 characters' }],
      })
    : new Problem(code, `${problems[code][1]}.`)

const problemSchema: JsonSchema = {
  title: 'Problem',
  description: 'RFC 9457. Clients act on `code`; `detail` is for people.',
  type: 'object',
  properties: {
    type: { type: 'string', format: 'uri-reference' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', enum: codes },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          path: { type: 'string', description: 'JSON Pointer; of a query or header `/name`' },
          message: { type: 'string' },
        },
        required: ['path', 'message'],
      },
    },
  },
  required: ['type', 'title', 'status', 'detail', 'code'],
}

const text = (description: string, example: string) => ({ description, schema: { type: 'string' as const }, example })
const header = (name: string, description: string, example: string): Parameter => ({
  name,
  in: 'header',
  ...text(description, example),
})

const parameters: Record<string, Parameter> = {
  'Consistency-Token': header(
    'Consistency-Token',
    'Tokens of earlier commands (up to 8, comma-separated): acts on facts at least that new.',
    'AbC1.x9',
  ),
  'Idempotency-Key': header(
    'Idempotency-Key',
    '1 to 255 visible ASCII characters: a repeat with the same key does nothing twice.',
    '5f0c7a1e',
  ),
  'If-None-Match': header('If-None-Match', 'An ETag: 304 while the thing is unchanged.', '"3.Zk9q"'),
  'If-Match': header(
    'If-Match',
    'An ETag: 412 where the thing has another revision by now. A repeat of what made that revision is answered as the first.',
    '"3.Zk9q"',
  ),
}

const headers: OpenApiDocument['components']['headers'] = {
  'X-Request-Id': text('Names this request in logs, events and live messages.', '018f6e5a-7c1d-4b7e-9a51-3f0c2d9b8e14'),
  'Consistency-Token': text('Send it with a later request to see this effect.', 'AbC1.x9'),
  ETag: text('"<revision>.<hash>"', '"3.Zk9q"'),
  RateLimit: text('What is left (IETF draft RateLimit fields).', '"read";r=598;t=59'),
  'RateLimit-Policy': text('The limit.', '"read";q=600;w=60'),
  'Retry-After': text('Seconds after which a repeat makes sense.', '1'),
  'WWW-Authenticate': text('RFC 6750.', 'Bearer realm="darkroom"'),
}
