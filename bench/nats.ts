import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { freePort } from '../tests/support/server.ts'

export type Nats = { readonly url: string; end(): Promise<void> }

/** A NATS server of our own; null where the machine has none on its PATH. @throws where it does not start */
export async function startNats(): Promise<Nats | null> {
  const port = await freePort()
  const child = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port)], { stdio: ['ignore', 'ignore', 'pipe'] })
  const gone = once(child, 'close')
  let said = ''
  const started = await new Promise<boolean>((resolve, reject) => {
    child.stderr.on('data', (bytes: Buffer) => {
      said += bytes
      if (said.includes('Server is ready')) resolve(true)
    })
    child.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? resolve(false) : reject(error)))
    child.on('close', code => reject(new Error(`nats-server ended (${code}): ${said}`)))
  })
  if (!started) return null
  return {
    url: `nats://127.0.0.1:${port}`,
    async end() {
      child.kill('SIGTERM')
      await gone
    },
  }
}
