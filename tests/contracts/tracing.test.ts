import { createHash } from 'node:crypto'
import { expect, it, onTestFinished, vi } from 'vitest'
import { otlpSpans } from '../../src/adapters/tracing/otlp.ts'
import type { FinishedSpan } from '../../src/kernel/ports/spans.ts'
import { Collector } from '../support/collector.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const span: FinishedSpan = {
  place: { traceId, spanId: '00f067aa0ba902b7', sampled: true },
  parentId: 'a3ce929d0e0e4736',
  name: 'execute like',
  kind: 'internal',
  start: 1_700_000_000_000.25,
  end: 1_700_000_000_003.75,
  attributes: { 'darkroom.events': 1, 'error.type': 'unavailable' },
  failed: true,
}

const sinkTo = (endpoint: string, sampler = { ratio: 1, byParent: true }) => {
  const log = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }
  const spans = otlpSpans({ endpoint, headers: { 'x-key': 'k1' }, sampler, version: '1.2.3', role: 'api', log })
  onTestFinished(() => spans.close())
  return { log, spans }
}

it('spans arrive as they were, with who told them and what the collector asks for', async () => {
  const collector = await Collector.start()
  onTestFinished(() => collector.end())
  const { spans, log } = sinkTo(`${collector.url}/`)
  spans.take(span)
  await spans.close()
  const [arrived] = collector.spans
  expect(arrived).toMatchObject({
    traceId,
    spanId: '00f067aa0ba902b7',
    parentSpanId: 'a3ce929d0e0e4736',
    name: 'execute like',
    kind: 1,
    startTimeUnixNano: '1700000000000250000',
    endTimeUnixNano: '1700000000003750000',
    status: { code: 2 },
    resource: { 'service.name': 'darkroom', 'service.version': '1.2.3', 'darkroom.role': 'api' },
  })
  expect(arrived!.attributes.map(({ key }) => key).sort()).toEqual(['darkroom.events', 'error.type'])
  expect(collector.headers[0]!['x-key']).toBe('k1')
  expect(spans.lost).toBe(0)
  expect(log.warn).not.toHaveBeenCalled()
})

it('a collector that refuses costs the spans, counted and told of once', async () => {
  const collector = await Collector.start()
  onTestFinished(() => collector.end())
  collector.status = 400
  const { spans, log } = sinkTo(collector.url)
  for (let i = 0; i < 10_000; i++) spans.take(span)
  await expect.poll(() => spans.lost, { timeout: 10_000 }).toBe(10_000)
  expect(log.warn).toHaveBeenCalledTimes(1)
  collector.status = 200
  spans.take(span)
  await expect.poll(() => collector.spans.length, { timeout: 10_000 }).toBe(1)
})

it('with no collector at all the end waits no longer than it may', async () => {
  const collector = await Collector.start()
  const { url } = collector
  await collector.end()
  const { spans } = sinkTo(url)
  for (let i = 0; i < 3_000; i++) spans.take(span)
  // What does not fit its queue is dropped, whatever the collector does.
  expect(spans.lost).toBeGreaterThan(0)
  await spans.close()
})

it('a part of all traces is the same part everywhere; a caller is asked where that is wanted', () => {
  const at = (sampler: { ratio: number; byParent: boolean }) => sinkTo('http://127.0.0.1:1', sampler).spans
  const ids = Array.from({ length: 1_000 }, (_, i) => createHash('md5').update(String(i)).digest('hex'))
  const half = at({ ratio: 0.5, byParent: true })
  const some = ids.filter(id => half.samples(id, null))
  expect(some.length).toBeGreaterThan(300)
  expect(some.length).toBeLessThan(700)
  expect(ids.filter(id => at({ ratio: 0.5, byParent: false }).samples(id, true))).toEqual(some)
  expect(at({ ratio: 0, byParent: true }).samples(traceId, null)).toBe(false)
  expect(at({ ratio: 0, byParent: true }).samples(traceId, true)).toBe(true)
  expect(at({ ratio: 1, byParent: true }).samples(traceId, false)).toBe(false)
  expect(at({ ratio: 1, byParent: false }).samples(traceId, false)).toBe(true)
})
