import './jumping-date.ts'
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { type AppOptions, startApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { listen } from '../../src/kernel/http/listen.ts'
import { setUp } from '../../src/setup.ts'

/**
 * The server on a wall clock that can be set, with the guard switched off that `WITHOUT` names; a fault test that does not see what then goes wrong
 * would see it nowhere.
 *   log: it acknowledges a like before the log has it
 *   clock: it goes by its own clock instead of that which all nodes share
 */
const guards: Record<string, Pick<AppOptions, 'around' | 'clock'>> = {
  none: {},
  clock: { clock: { now: () => Date.now() } },
  log: {
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
  },
}
const without = guards[process.env.WITHOUT ?? 'none']
if (without === undefined) throw new Error(`There is no guard ${process.env.WITHOUT}: name one of ${Object.keys(guards)}.`)

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
const config = readConfig(process.env)
const setup = await setUp(config)
const app = await startApp({ ...setup, config, version, publicUrl: `http://127.0.0.1:${config.port}`, ...without })
const server = await listen({ fetch: app.fetch, host: config.host, port: config.port, log: setup.log })
app.acceptWebSockets(server.server)
process.once('SIGTERM', async () => {
  await app.endLive()
  await server.close(10_000)
  await app.stop()
  await setup.close()
  process.exit(0)
})
process.stdout.write(`The careless server listens on http://127.0.0.1:${server.port}\n`)
