import { readFileSync } from 'node:fs'
import { startApp } from './app.ts'
import { readConfig } from './config.ts'
import { listen } from './kernel/http/listen.ts'
import { StartupError } from './kernel/startup-error.ts'
import { setUp } from './setup.ts'

/** What a graceful end may take, in milliseconds. */
const graceMs = 10_000

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

async function main(): Promise<void> {
  const config = readConfig(process.env)
  // Before anything else is started, so that a signal during the start ends it cleanly too.
  const stopping = new AbortController()
  const ending = new Promise<string>(resolve => {
    const end = (why: string): void => {
      stopping.abort()
      resolve(why)
    }
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, end)
    whenAbandoned(() => end('npm is gone'))
  })
  const setup = await setUp(config)
  const { log } = setup
  try {
    const shownHost = config.host.includes(':') ? `[${config.host}]` : config.host
    // Pictures' URLs name the port, so one that the system chooses has to be known first.
    const publicUrl = config.publicUrl ?? `http://${shownHost}:${config.port}`
    const app = await startApp({ ...setup, config, version, publicUrl, stopping: stopping.signal })
    try {
      const server = await listen({ fetch: app.fetch, host: config.host, port: config.port, log })
      app.acceptWebSockets(server.server)
      const url = config.publicUrl ?? `http://${shownHost}:${server.port}`
      process.stdout.write(
        [
          `Darkroom ${version} ${config.role === 'all' ? '' : `(${config.role}) `}listens on ${url}`,
          ...(config.role === 'all' || config.role === 'api' ? [`The API's documentation: ${url}/docs`] : []),
          ...(config.role === 'all' ? ['What to try next: the tour in the README, step by step with curl'] : []),
          '',
        ].join('\n'),
      )
      const signal = await ending
      log.info({ signal }, 'ends after what is under way')
      const cut = setTimeout(() => {
        log.error({}, 'the end took too long')
        process.exit(1)
      }, 2 * graceMs)
      cut.unref()
      await app.endLive()
      await server.close(graceMs)
    } finally {
      await app.stop()
    }
  } finally {
    await setup.close()
  }
}

/** A signal to npm alone ends the shell that it started and not us: we see that our parent is another one. */
function whenAbandoned(tell: () => void): void {
  if (process.env.npm_lifecycle_event === undefined || process.platform === 'win32') return
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(watch)
    tell()
  }, 500)
  watch.unref()
}

try {
  await main()
  process.exit(0)
} catch (error) {
  if (!(error instanceof StartupError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}
