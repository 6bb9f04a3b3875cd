import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { freePort } from './server.ts'

/** Where nats-server is (Debian has it in /usr/sbin, which is not in every PATH), or null. */
export const natsServer: string | null =
  [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/bin']
    .map(folder => join(folder, 'nats-server'))
    .find(existsSync) ?? null

/** A real NATS of its own on loopback. */
export type Nats = {
  readonly url: string
  readonly child: ChildProcess
  /** Ends it and waits until it is gone. */
  end(signal?: NodeJS.Signals): Promise<void>
}

/** Starts one and waits until it takes connections. @param port a free one unless given @throws with its output where it ends before */
export async function startNats(port?: number, args: readonly string[] = []): Promise<Nats> {
  if (natsServer === null) throw new Error('nats-server is not installed: on Debian, apt-get install nats-server')
  const on = port ?? (await freePort())
  const child = spawn(natsServer, ['-a', '127.0.0.1', '-p', String(on), ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  const gone = once(child, 'exit')
  let output = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr!.on('data', bytes => {
      output += bytes
      if (output.includes('Server is ready')) resolve()
    })
    gone.then(() => reject(new Error(`nats-server ended before it was ready:\n${output}`)), reject)
  })
  return {
    url: `nats://127.0.0.1:${on}`,
    child,
    async end(signal = 'SIGTERM') {
      child.kill(signal)
      await gone
    },
  }
}
