import type { Context } from 'hono'
import type { Registry } from 'prom-client'
import * as v from 'valibot'
import { captionLimits } from '../domain/posts/content.ts'
import { json, send } from '../kernel/http/answer.ts'
import { describe } from '../kernel/http/describe.ts'
import { type HttpEnv, routes } from '../kernel/http/env.ts'
import { isOperator } from '../kernel/http/operator.ts'
import { opsPage } from '../kernel/http/ops-page.ts'
import { example, model } from '../kernel/http/schema.ts'
import { inTime, type PartStatus } from '../kernel/parts.ts'
import { notFound, Problem } from '../kernel/problem.ts'
import type { Watch } from '../kernel/status.ts'

export type Operations = {
  readonly version: string
  readonly production: boolean
  readonly opsToken: string | null
  readonly registry: Registry
  readonly role: string
  readonly watch: Watch
}

const Health = model('Health', v.object({ status: example(v.literal('alive'), 'alive') }))
const PartStates = example(
  v.array(
    v.object({
      name: v.string(),
      needed: v.boolean(),
      away: v.nullable(v.object({ seconds: v.number(), reason: v.string() })),
    }),
  ),
  [{ name: 'database', needed: true, away: null }],
)
const Readiness = model(
  'Readiness',
  v.object({
    status: example(
      v.pipe(
        v.picklist(['ready', 'degraded', 'not_ready']),
        v.description(
          'degraded: it serves, but for what the reasons say; not_ready: it cannot, for want of the log or the database',
        ),
      ),
      'ready',
    ),
    reasons: v.optional(example(v.array(v.string()), [])),
    parts: v.optional(PartStates),
  }),
)
const Instance = model(
  'Instance',
  v.object({
    name: example(v.string(), 'Darkroom'),
    version: example(v.string(), '0.1.0'),
    limits: v.object({
      captionCharacters: example(v.number(), captionLimits.characters),
      hashtags: example(v.number(), captionLimits.hashtags),
      mentions: example(v.number(), captionLimits.mentions),
      mediaPerPost: example(v.number(), 20),
      uploadBytes: example(v.number(), 50 * 1024 * 1024),
      pageItems: example(v.number(), 100),
      liveTopics: example(v.number(), 100),
    }),
    features: example(v.array(v.string()), ['accounts', 'posts', 'feed', 'live']),
  }),
)
const Rebuild = v.object({
  running: v.boolean(),
  position: v.number(),
  target: v.number(),
  events: v.number(),
  eventsPerSecond: v.number(),
  secondsLeft: v.nullable(v.number()),
})
const Due = v.object({ count: v.number(), oldestSeconds: v.number() })
const Status = model(
  'OperatorStatus',
  example(
    v.object({
      version: v.string(),
      role: v.string(),
      status: v.picklist(['ready', 'degraded', 'not_ready']),
      reasons: v.array(v.string()),
      parts: PartStates,
      head: v.nullable(
        v.pipe(v.number(), v.description('The position of the last event; null where the log or the database is away')),
      ),
      due: v.nullable(v.object({ mails: Due, timers: Due })),
      readModels: v.array(
        v.object({
          name: v.string(),
          kind: v.picklist(['model', 'state', 'reaction']),
          version: v.number(),
          position: v.number(),
          lag: v.number(),
          state: v.picklist(['running', 'idle', 'paused', 'waiting_for_upgrade']),
          error: v.nullable(
            v.object({ id: v.string(), type: v.string(), stream: v.string(), position: v.number(), message: v.string() }),
          ),
          rebuild: v.nullable(Rebuild),
        }),
      ),
    }),
    {
      version: '0.1.0',
      role: 'all',
      status: 'ready' as const,
      reasons: [],
      parts: [{ name: 'database', needed: true, away: null }],
      head: 4711,
      due: { mails: { count: 0, oldestSeconds: 0 }, timers: { count: 0, oldestSeconds: 0 } },
      readModels: [
        { name: 'likes', kind: 'model', version: 1, position: 4711, lag: 0, state: 'running', error: null, rebuild: null },
      ],
    },
  ),
)

export const features = [
  'accounts',
  'sessions',
  'profiles',
  'relationships',
  'media',
  'posts',
  'comments',
  'likes',
  'feed',
  'notifications',
  'live',
  'erasure',
]

/** For operators and probes; at the root, beside /v1. */
export function operationRoutes(operations: Operations) {
  const { version, role, registry, watch, opsToken } = operations
  const operator = (c: Context<HttpEnv>): boolean => isOperator(c, operations)
  const mustBeOperator = (c: Context<HttpEnv>): void => {
    // Nobody else is told that there is such a page.
    if (!operator(c)) throw notFound('page')
  }
  return routes()
    .get(
      '/healthz',
      describe('Whether the process is alive', { tag: 'Operations', auth: 'none', responses: { 200: Health } }),
      c => json(c, { status: 'alive' as const }),
    )
    .get(
      '/readyz',
      describe('Whether it can serve; operators are told why not', {
        tag: 'Operations',
        auth: 'none',
        responses: { 200: Readiness, 503: Readiness },
      }),
      async c => {
        const { state, reasons, parts } = await watch.health()
        const body = { status: state, ...(operator(c) ? { reasons: [...reasons], parts: parts.map(partState) } : {}) }
        return state === 'not_ready' ? json(c, body, 503, { 'Retry-After': '2' }) : json(c, body)
      },
    )
    .get(
      '/v1/instance',
      describe('Limits, features and version of this network', { tag: 'Operations', auth: 'none', responses: { 200: Instance } }),
      c =>
        json(c, {
          name: 'Darkroom',
          version,
          limits: {
            captionCharacters: captionLimits.characters,
            hashtags: captionLimits.hashtags,
            mentions: captionLimits.mentions,
            mediaPerPost: 20,
            uploadBytes: 50 * 1024 * 1024,
            pageItems: 100,
            liveTopics: 100,
          },
          features,
        }),
    )
    .get(
      '/metrics',
      describe('Metrics in the Prometheus text format', {
        tag: 'Operations',
        auth: 'none',
        responses: { 200: { type: 'text/plain' } },
        problems: ['not_found'],
      }),
      async c => {
        mustBeOperator(c)
        return send(c, await registry.metrics(), 200, { 'Content-Type': registry.contentType })
      },
    )
    .get(
      '/ops',
      describe('Read models, reactions and parts as they are now; a page where HTML is asked for', {
        tag: 'Operations',
        auth: 'none',
        responses: { 200: Status },
        problems: ['not_found'],
      }),
      async c => {
        const page = c.req.header('accept')?.includes('text/html') === true
        // A browser asks its user for the token.
        if (page && opsToken !== null && !operator(c))
          throw new Problem('authentication_required', 'Sign in with any name and OPS_TOKEN.', {
            headers: { 'WWW-Authenticate': 'Basic realm="darkroom operators", charset="UTF-8"' },
          })
        mustBeOperator(c)
        if (page) return send(c, opsPage.html, 200, opsPage.headers)
        const { state, reasons, parts } = await watch.health()
        const [at, due] = state === 'not_ready' ? [null, null] : await Promise.all([known(watch.status()), known(watch.due())])
        return json(c, {
          version,
          role,
          status: state,
          reasons: [...reasons],
          parts: parts.map(partState),
          head: at?.head ?? null,
          due,
          readModels: at === null ? [] : at.consumers.map(consumer => ({ ...consumer })),
        })
      },
    )
}

const partState = ({ name, needed, away }: PartStatus) => ({ name, needed, away })

/** What is not known in time is null: the page has to tell the rest. */
const known = <T>(look: Promise<T>): Promise<T | null> => inTime(look.catch(() => null))
