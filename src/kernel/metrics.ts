import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { ConsumerStatus } from './status.ts'

/** The log's head and every consumer of it. */
export type StatusOf = () => Promise<{ head: number; consumers: readonly ConsumerStatus[] }>

/** Metrics of one app, in a registry of its own; what the database knows is asked when they are scraped. */
export function metrics({ status, liveClients }: { status: StatusOf; liveClients: () => number }) {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const requests = new Histogram({
    name: 'darkroom_http_request_seconds',
    help: 'Answers by method, route and status',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  })
  const failures = new Counter({
    name: 'darkroom_metrics_failures_total',
    help: 'Scrapes that could not ask the database',
    registers,
  })
  // One look at the database for all gauges of a scrape.
  let looking: Promise<Awaited<ReturnType<StatusOf>> | null> | null = null
  const look = () =>
    (looking ??= status()
      .catch(() => {
        failures.inc()
        return null
      })
      .finally(() => {
        looking = null
      }))
  const consumerGauge = (name: string, help: string, of: (consumer: ConsumerStatus) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['consumer'],
      registers,
      async collect() {
        for (const consumer of (await look())?.consumers ?? []) this.set({ consumer: consumer.name }, of(consumer))
      },
    })
  consumerGauge('darkroom_consumer_lag_positions', 'Positions that a consumer of the log has not passed', ({ lag }) => lag)
  consumerGauge('darkroom_consumer_paused', '1 where a consumer stands at an event that it cannot project', ({ state }) =>
    state === 'paused' ? 1 : 0,
  )
  new Gauge({
    name: 'darkroom_log_position',
    help: 'The position of the last event',
    registers,
    async collect() {
      const at = await look()
      if (at !== null) this.set(at.head)
    },
  })
  new Gauge({
    name: 'darkroom_live_clients',
    help: 'Live connections of this node',
    registers,
    collect() {
      this.set(liveClients())
    },
  })
  return {
    registry,
    observe: ({ method, route, status, ms }: { method: string; route: string; status: number; ms: number }) =>
      requests.observe({ method, route, status }, ms / 1_000),
  }
}
