import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A span as it arrived (OTLP, JSON). */
export type ArrivedSpan = {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: readonly { key: string; value: { stringValue?: string; intValue?: number; doubleValue?: number } }[]
  readonly status: { code: number }
  /** Attributes of the process that told it. */
  readonly resource: Readonly<Record<string, unknown>>
}

type Body = {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly { key: string; value: Record<string, unknown> }[] }
    readonly scopeSpans: readonly { readonly spans: readonly Omit<ArrivedSpan, 'resource'>[] }[]
  }[]
}

/** A collector of traces on loopback that speaks OTLP over HTTP, in JSON. */
export class Collector {
  readonly spans: ArrivedSpan[] = []
  readonly headers: NodeJS.Dict<string | string[]>[] = []
  /** What it answers. */
  status = 200
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      this.headers.push(request.headers)
      if (this.status === 200 && request.url === '/v1/traces') this.#take(JSON.parse(Buffer.concat(chunks).toString()))
      response.writeHead(this.status, { 'Content-Type': 'application/json' }).end('{}')
    })
  })

  static async start(): Promise<Collector> {
    const collector = new Collector()
    collector.#server.listen(0, '127.0.0.1')
    await once(collector.#server, 'listening')
    return collector
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async end(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  /** The names from the first span of a trace down to this one, and whether each began before its child. */
  way(to: ArrivedSpan): string[] {
    const parent = this.spans.find(({ traceId, spanId }) => traceId === to.traceId && spanId === to.parentSpanId)
    return parent === undefined ? [to.name] : [...this.way(parent), to.name]
  }

  #take({ resourceSpans }: Body): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const attributes = Object.fromEntries(resource.attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
      for (const { spans } of scopeSpans) for (const span of spans) this.spans.push({ ...span, resource: attributes })
    }
  }
}
