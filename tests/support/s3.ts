import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { temporaryFolder } from './temporary.ts'

/** The key and the secret that s3rver takes. */
const credentials = 'S3RVER:S3RVER'

/**
 * s3rver is of JavaScript without types, installs handlers for what its process throws, and asks OpenSSL for DES to make its tokens of continuation:
 * so it has a process of its own.
 */
const program = `
  const S3rver = require('@20minutes/s3rver')
  const [directory, bucket] = process.argv.slice(1)
  const configureBuckets = [{ name: bucket, configs: [] }]
  const server = new S3rver({ address: '127.0.0.1', port: 0, silent: true, directory, configureBuckets })
  // S3 replaces objects whole; this one writes over them, so one put comes after another.
  let last = Promise.resolve()
  server.middleware.unshift((ctx, next) => ctx.method === 'PUT' ? (last = last.then(next, next)) : next())
  server.run().then(({ port }) => console.log(port))
`

/** A server of S3's protocol on loopback that others wrote. It verifies signatures; unlike S3 it takes requests that have none. */
export type S3 = {
  /** As S3_URL has it, for a bucket that is there. */
  readonly url: string
  /** Ends it and waits until it is gone. */
  end(): Promise<void>
}

/** Starts one with an empty bucket. @throws with its output where it ends before it listens */
export async function startS3(): Promise<S3> {
  const folder = await temporaryFolder()
  const bucket = 'pictures'
  const child = spawn(process.execPath, ['--openssl-legacy-provider', '-e', program, folder, bucket], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const gone = once(child, 'exit')
  let output = ''
  child.stderr.on('data', bytes => (output += bytes))
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.on('data', bytes => {
      output += bytes
      if (/^\d+\n/.test(output)) resolve(Number.parseInt(output, 10))
    })
    gone.then(() => reject(new Error(`s3rver ended before it listened:\n${output}`)), reject)
  })
  return {
    url: `http://${credentials}@127.0.0.1:${port}/${bucket}?path-style=1`,
    async end() {
      child.kill()
      await gone
      await rm(folder, { recursive: true, force: true })
    },
  }
}
