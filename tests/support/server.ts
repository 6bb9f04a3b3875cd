import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { mustKeepApart } from '../engines/engines.ts'

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** A server in a process of its own, as an operator starts it. */
export type ServerProcess = {
  readonly url: string
  readonly child: ChildProcess
  /** What it wrote so far, both streams. */
  output(): string
  /** Ends it by the signal and waits until it is gone. Answers its exit code, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>
}

const repository = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Starts `file` (src/main.ts unless given) and waits until it listens.
 * @throws with its output where it ends before
 */
export async function startServer(environment: Record<string, string>, file = 'src/main.ts'): Promise<ServerProcess> {
  const { EVENTSTORE_URL = null, NATS_URL = null, NAMESPACE = '' } = environment
  mustKeepApart({ eventStoreUrl: EVENTSTORE_URL, natsUrl: NATS_URL, namespace: NAMESPACE, subjectPrefix: NAMESPACE })
  const port = environment.PORT ?? String(await freePort())
  const { PATH = '', HOME = '', TMPDIR } = process.env
  const child = spawn(process.execPath, ['start.mjs', file], {
    cwd: repository,
    env: {
      PATH,
      HOME,
      ...(TMPDIR === undefined ? {} : { TMPDIR }),
      RATE_LIMIT: 'off',
      LOG_LEVEL: 'warn',
      ...environment,
      PORT: port,
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  let output = ''
  const gone = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals)
  await new Promise<void>((resolve, reject) => {
    const heard = (bytes: Buffer): void => {
      output += bytes
      if (output.includes(' listens on ')) resolve()
    }
    child.stdout!.on('data', heard)
    child.stderr!.on('data', heard)
    gone.then(how => reject(new Error(`the server ended (${how}) before it listened:\n${output}`)), reject)
  })
  let asked = false
  gone.then(
    how => {
      if (!asked) console.error(`The server on port ${port} ended by itself (${how}); its last words:\n${output.slice(-4_000)}`)
    },
    error => console.error(error),
  )
  return {
    url: `http://127.0.0.1:${port}`,
    child,
    output: () => output,
    end(signal) {
      asked = true
      child.kill(signal)
      return gone
    },
  }
}
