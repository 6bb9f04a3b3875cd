import { type ChildProcess, fork } from 'node:child_process'
import { Socket } from 'node:net'
import { availableParallelism, constants, setPriority } from 'node:os'
import type { Picture } from '../../kernel/ports/imaging.ts'
import { Problem, unavailable } from '../../kernel/problem.ts'
import type { Answer, Job } from './worker.ts'

export type PoolOptions = {
  /** Workers at the same time; by default one core is left to the server. */
  workers?: number
  /** Jobs that may wait for a worker; one more is `unavailable`. */
  queue?: number
  /** Bytes that may wait for a worker, because every upload that waits is held in memory. */
  queueBytes?: number
  /** What one job may take (ms) before its worker is ended. */
  timeout?: number
  /** How long a worker without work lives on (ms). */
  idle?: number
}

export type Pool = { run(job: Job): Promise<Picture>; close(): Promise<void> }

/** A worker that has grown past this (bytes) is replaced: WebAssembly and libvips give nothing back. */
const memoryLimit = 768 * 1024 * 1024

type Waiting = Job & { resolve: (picture: Picture) => void; reject: (error: Error) => void }
type Worker = {
  child: ChildProcess
  ready: boolean
  busy: Waiting | null
  retired: boolean
  timer: NodeJS.Timeout | undefined
  /** The last that it wrote to its standard error. */
  said: string
}

/**
 * Child processes that run `module` (see worker.ts for what it is told and answers), started when there is work and never
 * keeping this process alive without. Processes, not threads: they hold native decoders and hostile files, so one may crash,
 * run out of memory or be killed at any point, and only its own picture is lost (`media_unreadable`).
 */
export function workerPool(module: URL, options: PoolOptions = {}): Pool {
  const {
    workers: size = Math.max(1, availableParallelism() - 1),
    queue: mostWaiting = 64,
    queueBytes: mostBytes = 256 * 1024 * 1024,
    timeout = 60_000,
    idle = 60_000,
  } = options
  const workers = new Set<Worker>()
  const waiting: Waiting[] = []
  let closing: PromiseWithResolvers<void> | null = null

  function assign(): void {
    while (waiting.length > 0) {
      const free = [...workers].find(({ busy, retired }) => busy === null && !retired)
      const worker = free ?? (workers.size < size ? start() : undefined)
      if (worker === undefined) return
      give(worker, waiting.shift()!)
    }
  }

  function start(): Worker {
    const child = fork(module, {
      execArgv: [],
      env: {}, // no secret of the server where hostile files are decoded
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'], // decoders print what hostile files make them say
    })
    // Whoever asks for a page goes before who waits for a picture. Its threads are made later and inherit this.
    if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL)
    const worker: Worker = { child, ready: false, busy: null, retired: false, timer: undefined, said: '' }
    workers.add(worker)
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      worker.said = (worker.said + text).slice(-2000)
    })
    child.on('message', (answer: Answer) => {
      if (answer.type === 'ready') worker.ready = true
      else finish(worker, answer)
    })
    child.on('error', error => end(worker, error.message)) // it could not be started or be sent a job
    child.once('close', (code, signal) => end(worker, `${signal ?? `exit code ${code}`} ${worker.said}`.trim()))
    return worker
  }

  function give(worker: Worker, job: Waiting): void {
    worker.busy = job
    clearTimeout(worker.timer)
    hold(worker, true)
    worker.timer = setTimeout(() => {
      settle(worker)?.reject(new Problem('media_unreadable', 'The picture takes too long to decode.'))
      retire(worker)
    }, timeout)
    worker.child.send({ bytes: job.bytes, format: job.format } satisfies Job)
  }

  /** Takes the job from its worker. */
  function settle(worker: Worker): Waiting | null {
    const job = worker.busy
    worker.busy = null
    clearTimeout(worker.timer)
    return job
  }

  function finish(worker: Worker, answer: Exclude<Answer, { type: 'ready' }>): void {
    const job = settle(worker)
    if (answer.type === 'picture') job?.resolve(answer.picture)
    else if (answer.type === 'refused') job?.reject(new Problem(answer.code, answer.detail))
    else job?.reject(new Error(`Imaging failed: ${answer.message}`))
    if (worker.retired) return
    hold(worker, false)
    if (answer.memory > memoryLimit) retire(worker)
    else worker.timer = setTimeout(retire, idle, worker).unref()
    assign()
  }

  function retire(worker: Worker): void {
    worker.retired = true
    worker.child.kill('SIGKILL') // it holds nothing that could be lost
  }

  function end(worker: Worker, cause: string): void {
    if (!workers.delete(worker)) return
    const job = settle(worker)
    retire(worker)
    if (closing !== null) job?.reject(stopping())
    else if (worker.ready) job?.reject(new Problem('media_unreadable', 'The picture cannot be decoded.', { cause }))
    else job?.reject(new Error(`The imaging worker does not start: ${cause}`))
    if (closing !== null && workers.size === 0) closing.resolve()
    assign()
  }

  return {
    async run(job) {
      if (closing !== null) throw stopping()
      const bytesWaiting = waiting.reduce((sum, { bytes }) => sum + bytes.length, 0)
      if (waiting.length >= mostWaiting || bytesWaiting >= mostBytes)
        throw unavailable('Too many pictures are being processed.', 5)
      return new Promise<Picture>((resolve, reject) => {
        waiting.push({ ...job, resolve, reject })
        assign()
      })
    },

    async close() {
      if (closing === null) {
        closing = Promise.withResolvers()
        for (const job of waiting.splice(0)) job.reject(stopping())
        if (workers.size === 0) closing.resolve()
        for (const worker of workers) {
          hold(worker, true)
          retire(worker)
        }
      }
      await closing.promise
    },
  }
}

const stopping = (): Problem => unavailable('The server is stopping.')

/** Whether the worker keeps this process alive. */
function hold({ child }: Worker, alive: boolean): void {
  const method = alive ? 'ref' : 'unref'
  child[method]()
  child.channel?.[method]()
  if (child.stderr instanceof Socket) child.stderr[method]()
}
