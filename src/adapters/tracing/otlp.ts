import { SpanKind, SpanStatusCode } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace'
import type { Log } from '../../kernel/ports/log.ts'
import type { FinishedSpan, Spans } from '../../kernel/ports/spans.ts'

/** Which traces are told: a part of all, 0 to 1, and where `byParent` those of callers as these asked for. */
export type Sampler = { readonly ratio: number; readonly byParent: boolean }

export type OtlpOptions = {
  /** Of a collector that speaks OTLP over HTTP: spans go to its /v1/traces. */
  readonly endpoint: string
  /** That the collector asks for, as a key. */
  readonly headers: Readonly<Record<string, string>>
  readonly sampler: Sampler
  readonly version: string
  readonly role: string
  readonly log: Log
}

const mostWaiting = 2_048
const batchSpans = 512
const everyMs = 1_000
const exportMs = 10_000
const closeMs = 2_000
/** A collector that is away is told of once in so long. */
const tellEveryMs = 60_000

const kinds = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const

/** Spans to an OpenTelemetry collector, in batches from a bounded queue. A collector that is away costs the spans and nothing else. */
export function otlpSpans({ endpoint, headers, sampler, version, role, log }: OtlpOptions): Spans {
  // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word.
  const resource = defaultResource()
    .merge(resourceFromAttributes({ 'service.name': 'darkroom', 'service.version': version, 'darkroom.role': role }))
    .merge(detectResources({ detectors: [envDetector] }))
  const scope = { name: 'darkroom', version }
  const collector = new OTLPTraceExporter({
    url: `${endpoint.replace(/\/+$/, '')}/v1/traces`,
    headers: { ...headers },
    timeoutMillis: exportMs,
  })
  let waiting = 0
  let lost = 0
  let toldAt = Number.NEGATIVE_INFINITY
  const lose = (spans: number, reason: string): void => {
    lost += spans
    if (performance.now() - toldAt < tellEveryMs) return
    toldAt = performance.now()
    log.warn({ reason, lost }, 'spans are lost: the collector of traces does not take them')
  }
  const exporter: SpanExporter = {
    export(spans, done) {
      collector.export(spans, result => {
        waiting -= spans.length
        if (result.error !== undefined) lose(spans.length, result.error.message)
        done(result)
      })
    },
    shutdown: () => collector.shutdown(),
  }
  const processor = new BatchSpanProcessor({
    exporter,
    maxQueueSize: mostWaiting,
    maxExportBatchSize: batchSpans,
    scheduledDelayMillis: everyMs,
    exportTimeoutMillis: 2 * exportMs,
  })

  return {
    samples: (traceId, asked) =>
      asked !== null && sampler.byParent ? asked : Number.parseInt(traceId.slice(-13), 16) < sampler.ratio * 2 ** 52,
    take(span) {
      if (waiting >= mostWaiting) return lose(1, 'more than it takes')
      waiting++
      processor.onEnd(readable(span, { resource, instrumentationScope: scope }))
    },
    get lost() {
      return lost
    },
    async close() {
      let late: NodeJS.Timeout | undefined
      const bound = new Promise<void>(resolve => {
        late = setTimeout(resolve, closeMs)
      })
      // What could not be delivered has been told of.
      await Promise.race([processor.shutdown().catch(() => {}), bound])
      clearTimeout(late)
    },
  }
}

/** The span as the SDK knows one. */
function readable(
  { place, parentId, name, kind, start, end, attributes, failed }: FinishedSpan,
  common: Pick<ReadableSpan, 'resource' | 'instrumentationScope'>,
): ReadableSpan {
  const { traceId, spanId } = place
  const context = { traceId, spanId, traceFlags: 1 }
  return {
    ...common,
    name,
    kind: kinds[kind],
    spanContext: () => context,
    ...(parentId === null ? {} : { parentSpanContext: { traceId, spanId: parentId, traceFlags: 1 } }),
    startTime: hrTime(start),
    endTime: hrTime(end),
    duration: hrTime(end - start),
    status: { code: failed ? SpanStatusCode.ERROR : SpanStatusCode.UNSET },
    attributes: { ...attributes },
    links: [],
    events: [],
    ended: true,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  }
}

/** Milliseconds as seconds and nanoseconds. */
const hrTime = (ms: number): [number, number] => {
  const seconds = Math.floor(ms / 1_000)
  return [seconds, Math.floor((ms - seconds * 1_000) * 1e6)]
}
