import type { Context } from 'hono'
import type { Registry } from 'prom-client'
import * as v from 'valibot'
import { captionLimits } from '../domain/posts/content.ts'
import { describe } from '../kernel/http/describe.ts'
import { type HttpEnv, routes } from '../kernel/http/env.ts'
import { isOperator } from '../kernel/http/operator.ts'
import { example, model } from '../kernel/http/schema.ts'
import { notFound } from '../kernel/problem.ts'
import type { ConsumerStatus } from '../kernel/status.ts'

export type Operations = {
  readonly version: string
  readonly production: boolean
  readonly opsToken: string | null
  readonly registry: Registry
  /** What is not ready, in words for operators; empty where all is. */
  readonly troubles: () => Promise<readonly string[]>
  readonly status: () => Promise<{ head: number; consumers: readonly ConsumerStatus[] }>
}

const Health = model('Health', v.object({ status: example(v.literal('alive'), 'alive') }))
const Readiness = model(
  'Readiness',
  v.object({
    status: example(v.picklist(['ready', 'not_ready']), 'ready'),
    reasons: v.optional(example(v.array(v.string()), [])),
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
const Status = model(
  'OperatorStatus',
  example(
    v.object({
      head: v.number(),
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
      head: 4711,
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
  const { version, registry, troubles, status } = operations
  const operator = (c: Context<HttpEnv>): boolean => isOperator(c, operations)
  const mustBeOperator = (c: Context<HttpEnv>): void => {
    // Nobody else is told that there is such a page.
    if (!operator(c)) throw notFound('page')
  }
  return routes()
    .get(
      '/healthz',
      describe('Whether the process is alive', { tag: 'Operations', auth: 'none', responses: { 200: Health } }),
      c => c.json({ status: 'alive' as const }),
    )
    .get(
      '/readyz',
      describe('Whether it can serve; operators are told why not', {
        tag: 'Operations',
        auth: 'none',
        responses: { 200: Readiness, 503: Readiness },
      }),
      async c => {
        const reasons = await troubles()
        const body = {
          status: reasons.length === 0 ? ('ready' as const) : ('not_ready' as const),
          ...(operator(c) ? { reasons } : {}),
        }
        return reasons.length === 0 ? c.json(body) : c.json(body, 503, { 'Retry-After': '2' })
      },
    )
    .get(
      '/v1/instance',
      describe('Limits, features and version of this network', { tag: 'Operations', auth: 'none', responses: { 200: Instance } }),
      c =>
        c.json({
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
        return c.body(await registry.metrics(), 200, { 'Content-Type': registry.contentType })
      },
    )
    .get(
      '/ops',
      describe('Read models and reactions: version, position, lag, state', {
        tag: 'Operations',
        auth: 'none',
        responses: { 200: Status },
        problems: ['not_found'],
      }),
      async c => {
        mustBeOperator(c)
        const { head, consumers } = await status()
        const readModels = consumers.map(consumer => ({ ...consumer }))
        return c.req.header('accept')?.includes('text/html') === true
          ? c.body(opsPage(head, readModels), 200, pageHeaders)
          : c.json({ head, readModels })
      },
    )
}

const pageHeaders = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}

const escaped = (text: string): string => text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)

/** The same for people; renews itself every other second, without a script. */
function opsPage(head: number, consumers: readonly ConsumerStatus[]): string {
  const rows = consumers.map(({ name, kind, version, position, lag, state, error, rebuild }) => {
    const progress =
      rebuild === null
        ? ''
        : `${Math.floor((100 * rebuild.position) / Math.max(1, rebuild.target))} %, ${rebuild.running ? `${rebuild.eventsPerSecond} events/s` : 'ended on its way'}`
    const cells = [
      name,
      kind,
      version,
      position,
      lag,
      state,
      progress,
      error === null ? '' : `${error.type} at ${error.position}: ${error.message}`,
    ]
    return `<tr class="${state}">${cells.map(cell => `<td>${escaped(String(cell))}</td>`).join('')}</tr>`
  })
  const heads = ['name', 'kind', 'version', 'position', 'lag', 'state', 'rebuild', 'error']
    .map(text => `<th>${text}</th>`)
    .join('')
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>Darkroom: operations</title>
<style>body{font:15px system-ui;margin:2rem;color-scheme:light dark}table{border-collapse:collapse}td,th{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #8884}.paused td{color:#c22;font-weight:600}</style>
<h1>Darkroom</h1><p>The log is at position ${head}.</p><table><tr>${heads}</tr>${rows.join('')}</table></html>`
}
