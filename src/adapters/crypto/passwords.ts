import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import * as argon2 from '@node-rs/argon2'
import { bounded } from '../../kernel/bounded.ts'
import type { Passwords } from '../../kernel/ports/passwords.ts'
import { unavailable } from '../../kernel/problem.ts'
import type { HashingAnswer, HashingJob } from './hashing-thread.ts'

/** OWASP's first choice for argon2id (which is the library's default kind): 19 MiB, two passes, one lane. */
const parameters = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const

/** The hash of a random password nobody knows, made with those parameters. */
const nobodys = '$argon2id$v=19$m=19456,t=2,p=1$+vr2hh1JB5HGE+QHUOPaxg$zk5UtCseeWDBGLVGa6XKYrQFdCb61H12KFkOIBgkWP0'

const isBcrypt = (hash: string): boolean => /^\$2[aby]\$/.test(hash)

/**
 * argon2id and, for hashes that came from elsewhere, bcrypt, on threads of their own and of lower priority, with a short queue: hashing starves nothing else.
 * @param atOnce hashes computed at the same time: two, and never on all cores
 * @param queue how many more may wait
 */
export function passwords({ atOnce = Math.min(2, Math.max(1, availableParallelism() - 1)), queue = 100 } = {}): Passwords & {
  /** Ends the threads; what waits for them is rejected. */
  close(): Promise<void>
} {
  const turn = bounded(atOnce, queue, 'Too many are signing in at this moment; try again.')
  const threads = new Set<HashingThread>()
  const run = <Value extends string | boolean>(job: HashingJob): Promise<Value> =>
    turn(() => {
      let thread = [...threads].find(({ busy }) => !busy)
      if (thread === undefined) {
        const started = new HashingThread(() => threads.delete(started))
        threads.add(started)
        thread = started
      }
      return thread.run(job) as Promise<Value>
    })
  const verified = (kind: 'argon2' | 'bcrypt', hash: string, password: string): Promise<boolean> =>
    run({ type: 'verify', kind, hash, password })
  return {
    hash: password => run({ type: 'hash', password, parameters }),
    async verify(hash, password) {
      if (hash !== null && isBcrypt(hash)) {
        const right = await verified('bcrypt', hash, password)
        return { right, upgrade: right }
      }
      const right = await verified('argon2', hash ?? nobodys, password)
      return hash === null ? { right: false, upgrade: false } : { right, upgrade: right && isWeaker(hash) }
    },
    async close() {
      await Promise.all([...threads].map(thread => thread.close()))
    },
  }
}

/** A thread that does one job at a time. It keeps no process alive. */
class HashingThread {
  readonly #worker = new Worker(new URL('./hashing-thread.ts', import.meta.url), { execArgv: [], env: {} })
  #waiting: { resolve: (value: string | boolean) => void; reject: (error: Error) => void } | null = null

  constructor(ended: () => void) {
    this.#worker.unref()
    this.#worker.on('message', (answer: HashingAnswer) => {
      if ('value' in answer) this.#settle()?.resolve(answer.value)
      else this.#settle()?.reject(new Error(`Hashing failed: ${answer.error}`))
    })
    for (const failure of ['error', 'messageerror'] as const)
      this.#worker.on(failure, (error: Error) => {
        ended()
        this.#settle()?.reject(error)
      })
    this.#worker.on('exit', () => {
      ended()
      this.#settle()?.reject(unavailable('The server is stopping; try again.'))
    })
  }

  get busy(): boolean {
    return this.#waiting !== null
  }

  #settle() {
    const waiting = this.#waiting
    this.#waiting = null
    return waiting
  }

  run(job: HashingJob): Promise<string | boolean> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#worker.postMessage(job)
    })
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }
}

function isWeaker(hash: string): boolean {
  const { memoryCost, timeCost } = argon2.parseOptions(hash)
  return !hash.startsWith('$argon2id$') || memoryCost < parameters.memoryCost || timeCost < parameters.timeCost
}
