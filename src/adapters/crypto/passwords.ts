import { availableParallelism } from 'node:os'
import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
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

/** The share of its time for which this thread runs when it counts as full: what is asked of it queues more and more from there on. */
const full = 0.7
/** How long a hashing thread rests at most, in times of what its hash took: it works for a quarter of the time then. */
const longestRest = 3
/** Milliseconds between two looks whether there is room. */
const lookEvery = 5

/** Says for what share of the time since it was made this thread has run. */
const utilisationFromHere = (): (() => number) => {
  const before = performance.eventLoopUtilization()
  return () => performance.eventLoopUtilization(before).utilization
}

const isBcrypt = (hash: string): boolean => /^\$2[aby]\$/.test(hash)

/**
 * argon2id and, for hashes that came from elsewhere, bcrypt, on threads of their own and of lower priority, with a short queue. While the thread that answers
 * requests is full a hashing thread rests after each hash, for three times as long as that took at most: whoever signs in waits, not who only reads.
 * @param atOnce hashes computed at the same time: two, and never on all cores
 * @param queue how many more may wait
 * @param utilisation says of each hash, from its beginning on, for what share of the time the answering thread has run (0 to 1)
 */
export function passwords({
  atOnce = Math.min(2, Math.max(1, availableParallelism() - 1)),
  queue = 100,
  utilisation = utilisationFromHere,
} = {}): Passwords & {
  /** Ends the threads; what waits for them is rejected. */
  close(): Promise<void>
} {
  const turn = bounded(atOnce, queue, 'Too many are signing in at this moment; try again.')
  const threads = new Set<HashingThread>()
  const run = <Value extends string | boolean>(job: HashingJob): Promise<Value> =>
    turn(() => {
      const free = [...threads].filter(({ busy }) => !busy)
      let thread = free.find(({ resting }) => !resting) ?? (threads.size < atOnce ? undefined : free[0])
      if (thread === undefined) {
        const started = new HashingThread(utilisation, () => threads.delete(started))
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
  readonly #utilisation: () => () => number
  #waiting: { resolve: (value: string | boolean) => void; reject: (error: Error) => void } | null = null
  /** Resolves when it has rested after its last job; null where it does not rest. */
  #resting: Promise<void> | null = null

  constructor(utilisation: () => () => number, ended: () => void) {
    this.#utilisation = utilisation
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

  get resting(): boolean {
    return this.#resting !== null
  }

  #settle() {
    const waiting = this.#waiting
    this.#waiting = null
    return waiting
  }

  async run(job: HashingJob): Promise<string | boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<string | boolean>()
    this.#waiting = { resolve, reject }
    // Or throws, where the thread ends meanwhile.
    if (this.#resting !== null) await Promise.race([this.#resting, promise])
    const used = this.#utilisation()
    const began = performance.now()
    this.#worker.postMessage(job)
    try {
      return await promise
    } finally {
      const resting = this.#rest(used, performance.now() - began)
      this.#resting = resting.finally(() => {
        this.#resting = null
      })
    }
  }

  /** Waits while the answering thread is full, but not for long: else nobody could sign in as long as others read. */
  async #rest(used: () => number, took: number): Promise<void> {
    const until = performance.now() + longestRest * took
    while (performance.now() < until && used() > full) await pause(lookEvery, undefined, { ref: false })
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }
}

function isWeaker(hash: string): boolean {
  const { memoryCost, timeCost } = argon2.parseOptions(hash)
  return !hash.startsWith('$argon2id$') || memoryCost < parameters.memoryCost || timeCost < parameters.timeCost
}
