import { randomUUID } from 'node:crypto'
import { Hono, type MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import { matchedRoutes } from 'hono/route'
import type { Logger } from 'pino'
import type { Problem } from '../problem.ts'
import type { Tracing } from '../tracing.ts'
import { type Answering, complete, type Head } from './answer.ts'
import { clientAddresses } from './client-address.ts'
import type { HttpEnv } from './env.ts'
import { onError, onNotFound } from './problems.ts'
import { rateLimits } from './rate-limit.ts'
import { traced } from './tracing.ts'

export type HttpOptions = {
  readonly log: Logger
  /** Where clients reach this server; HSTS is sent where it is https. */
  readonly publicUrl: string
  /** Origins of browsers' pages that may read answers; none by default. */
  readonly corsOrigins: readonly string[]
  /** Addresses and CIDR ranges whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[]
  /** False with RATE_LIMIT=off. */
  readonly rateLimit: boolean
  /** The problem that an error of a store stands for, as 503; null for what it does not know. */
  readonly classify: (error: unknown) => Problem | null
  /** Where a span a request is made. */
  readonly tracing?: Tracing | null
  /** Told of every answer, for metrics. The route is a pattern (`/v1/posts/:id`). */
  readonly observe?: (answer: Answer) => void
}

export type Answer = {
  readonly method: string
  readonly route: string
  readonly status: number
  readonly ms: number
  /** Why there is no better answer than 503; null for any other. */
  readonly unavailable: Problem | null
}

/** The app that every route is mounted on, with the manners that hold for all: request ids, access log, headers, CORS, limits, problems. */
export function httpApp(options: HttpOptions): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>()
  app.onError(onError(options.classify, options.log))
  app.notFound(onNotFound(app))
  app.use(identified(options))
  if (options.tracing != null) app.use('/v1/*', traced(options.tracing))
  if (options.corsOrigins.length > 0) app.use(crossOrigin(options.corsOrigins))
  app.use(rateLimits(options.rateLimit))
  return app
}

/**
 * Names the request, finds its client's address, gives its answer the fields of every answer, and writes one log line: never a query, a header or a body. What a
 * route has said itself stays; who says how long an answer may be kept says all about it.
 */
function identified({ log, trustedProxies, observe, publicUrl }: HttpOptions): MiddlewareHandler<HttpEnv> {
  const addressOf = clientAddresses(trustedProxies)
  const always: Head = {
    'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Resource-Policy': 'same-origin',
    ...(publicUrl.startsWith('https:') ? { 'Strict-Transport-Security': 'max-age=31536000; includeSubDomains' } : {}),
  }
  const open: Head = { ...always, 'Cache-Control': 'no-cache', Vary: 'Authorization' }
  const personal: Head = { ...open, 'Cache-Control': 'private, no-cache' }
  return async (c, next) => {
    const started = performance.now()
    const sent = c.req.header('x-request-id')
    const requestId = sent !== undefined && /^[\w-]{8,64}$/.test(sent) ? sent : randomUUID()
    const head: Head = {}
    const common = (): Head => ({
      'X-Request-Id': requestId,
      ...('Cache-Control' in head ? always : c.req.header('authorization') === undefined ? open : personal),
      ...c.get('limits')?.fields(),
    })
    const answering: Answering = { head, common, sent: null }
    c.set('requestId', requestId)
    c.set('correlationId', requestId)
    c.set('logged', { requestId })
    c.set('clientAddress', addressOf(c.env?.incoming?.socket.remoteAddress ?? '127.0.0.1', c.req.header('x-forwarded-for')))
    c.set('answering', answering)
    await next()
    complete(answering, c.res)
    const route = matchedRoutes(c).findLast(({ method }) => method !== 'ALL')?.path ?? 'none'
    const answer = { method: c.req.method, route, status: c.res.status, ms: Math.round((performance.now() - started) * 10) / 10 }
    log.info({ ...c.get('logged'), ...answer }, 'answered')
    const problem = c.get('problem')
    observe?.({ ...answer, unavailable: problem?.status === 503 ? problem : null })
  }
}

const crossOrigin = (origins: readonly string[]) =>
  cors({
    origin: [...origins],
    allowMethods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowHeaders: [
      'Authorization',
      'Content-Type',
      'Idempotency-Key',
      'Consistency-Token',
      'If-Match',
      'If-None-Match',
      'X-Request-Id',
      'Last-Event-ID',
      'Traceparent',
    ],
    exposeHeaders: ['Consistency-Token', 'Retry-After', 'RateLimit', 'RateLimit-Policy', 'ETag', 'Location', 'X-Request-Id'],
    maxAge: 600,
  })
