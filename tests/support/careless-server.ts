import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { startApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { listen } from '../../src/kernel/http/listen.ts'
import { setUp } from '../../src/setup.ts'

/**
 * The server with one guard switched off: it acknowledges a like before the log has it. A fault test that does not see the
 * loss here would see none anywhere.
 */
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
const config = readConfig(process.env)
const setup = await setUp(config)
const app = await startApp({
  ...setup,
  config,
  version,
  publicUrl: `http://127.0.0.1:${config.port}`,
  around: {
    store: store => ({
      maxEventBytes: store.maxEventBytes,
      positionsPerEvent: 1,
      read: stream => store.read(stream),
      subscribe: options => store.subscribe(options),
      head: () => store.head(),
      close: () => store.close(),
      async append(stream, events, expected) {
        if (!stream.startsWith('like-')) return store.append(stream, events, expected)
        void pause(60_000).then(() => store.append(stream, events, expected))
        return { revision: expected + events.length, position: await store.head() }
      },
    }),
  },
})
const server = await listen({ fetch: app.fetch, host: config.host, port: config.port, log: setup.log })
app.acceptWebSockets(server.server)
process.stdout.write(`The careless server listens on http://127.0.0.1:${server.port}\n`)
