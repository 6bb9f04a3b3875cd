import type { MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'
import { correlationIn, placeIn, type Tracing } from '../tracing.ts'
import type { HttpEnv } from './env.ts'

/** A span a request, in the caller's trace where it names one (`traceparent`); what the request brings about goes on in it, also in other processes. */
export const traced =
  (tracing: Tracing): MiddlewareHandler<HttpEnv> =>
  async (c, next) => {
    const { method } = c.req
    const caller = placeIn(c.req.header('traceparent'))
    if (caller !== null) c.set('correlationId', correlationIn(caller))
    const correlationId = c.get('correlationId')
    await tracing.run({ name: method, kind: 'server', correlationId, callerId: caller?.spanId ?? null }, async span => {
      c.set('logged', { ...c.get('logged'), traceId: span.place.traceId })
      await next()
      const route = matchedRoutes(c).findLast(({ method }) => method !== 'ALL')?.path ?? 'none'
      span.name = `${method} ${route}`
      span.attributes['http.request.method'] = method
      span.attributes['http.route'] = route
      span.attributes['http.response.status_code'] = c.res.status
      span.failed = c.res.status >= 500
    })
  }
