import type { ErrorHandler, Hono, NotFoundHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import type { Logger } from 'pino'
import { Problem, type ProblemCode, problems } from '../problem.ts'
import type { HttpEnv } from './env.ts'

/** The body of a problem as it is sent (RFC 9457). `type` is a place in /docs. */
export const problemBody = (problem: Problem) => ({
  type: `/docs#${problem.code}`,
  title: problem.title,
  status: problem.status,
  detail: problem.message,
  code: problem.code,
  ...(problem.errors === undefined ? {} : { errors: problem.errors }),
})

/** The problem as an answer. */
export function problemResponse(problem: Problem): Response {
  const headers = new Headers({ 'Content-Type': 'application/problem+json', 'Cache-Control': 'no-store', ...problem.headers })
  if (problem.status === 401 && !headers.has('WWW-Authenticate')) headers.set('WWW-Authenticate', challenge(problem.code))
  return new Response(JSON.stringify(problemBody(problem)), { status: problem.status, headers })
}

/** RFC 6750, section 3: a token that was sent and does not serve is named as such. */
const challenge = (code: ProblemCode): string =>
  code === 'access_token_invalid' || code === 'access_token_expired' || code === 'session_revoked'
    ? `Bearer realm="darkroom", error="invalid_token", error_description="${problems[code][1]}"`
    : 'Bearer realm="darkroom"'

/**
 * Makes problems of everything that is thrown: a Problem as it is, what `classify` knows (a store that is away) as it says,
 * all else as 500 `internal`, logged with its request id and never told.
 */
export function onError(classify: (error: unknown) => Problem | null, log?: Logger): ErrorHandler<HttpEnv> {
  return (error, c) => {
    const problem = error instanceof Problem ? error : (classify(error) ?? fromHono(error))
    if (problem === null || problem.code === 'internal')
      log?.error({ ...c.get('logged'), err: loggable(error) }, 'a request failed')
    else if (problem.status >= 500) log?.warn({ ...c.get('logged'), err: loggable(problem.cause ?? problem) }, problem.message)
    if (problem !== null) c.set('problem', problem)
    return problemResponse(
      problem ?? new Problem('internal', 'This is a fault of the server. It has been logged under the request id.'),
    )
  }
}

/** An error for the log, without what drivers hang on it: details and parameters of statements hold people's words. */
export function loggable(error: unknown): object {
  if (!(error instanceof Error)) return { type: typeof error }
  return { type: error.name, message: error.message, code: Reflect.get(error, 'code'), stack: error.stack }
}

const byStatus = new Map<number, ProblemCode>([
  [400, 'malformed'],
  [401, 'authentication_required'],
  [403, 'forbidden'],
  [404, 'not_found'],
  [405, 'method_not_allowed'],
  [412, 'version_conflict'],
  [413, 'payload_too_large'],
  [415, 'unsupported_media_type'],
  [422, 'validation_failed'],
  [429, 'rate_limited'],
  [503, 'unavailable'],
])

function fromHono(error: unknown): Problem | null {
  if (error instanceof URIError) return new Problem('malformed', 'The path is not percent-encoded UTF-8.', { cause: error })
  if (!(error instanceof HTTPException)) return null
  const code = byStatus.get(error.status) ?? (error.status < 500 ? 'malformed' : null)
  return code === null ? null : new Problem(code, problems[code][1], { cause: error })
}

/** 404 for a path that is not there; for one that is there for other methods 405, for OPTIONS 204, both with `Allow`. */
export function onNotFound(app: Hono<HttpEnv>): NotFoundHandler<HttpEnv> {
  return c => {
    const allowed = allowedMethods(app, c.req.path)
    if (allowed.length === 0 || allowed.includes(c.req.method))
      return problemResponse(new Problem('not_found', 'There is nothing at this path.'))
    const Allow = [...allowed, 'OPTIONS'].join(', ')
    if (c.req.method === 'OPTIONS') return new Response(null, { status: 204, headers: { Allow } })
    return problemResponse(new Problem('method_not_allowed', `This path takes ${Allow}.`, { headers: { Allow } }))
  }
}

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/** The methods with a route of their own at this path. */
function allowedMethods(app: Hono<HttpEnv>, path: string): string[] {
  const taken = methods.filter(method => app.router.match(method, path)[0].some(([[, route]]) => route.method === method))
  return taken.includes('GET') ? ['GET', 'HEAD', ...taken.slice(1)] : taken
}
