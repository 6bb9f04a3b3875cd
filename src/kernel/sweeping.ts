import type { Log } from './ports/log.ts'

/** What is looked for now and then, for no event tells of it. */
export type Sweep = {
  /** What is swept, as the log says it. */
  readonly of: string
  /** Whether a start sweeps too: what costs little. */
  readonly atStart: boolean
  /** Says how much it removed. */
  run(signal: AbortSignal): Promise<number>
}

const everyMs = 6 * 3_600_000

/** Sweeps four times a day. Returns how to end it. */
export function startSweeping(sweeps: readonly Sweep[], log: Log): () => Promise<void> {
  const ending = new AbortController()
  let sweeping: Promise<void> = Promise.resolve()
  const sweep = async (which: readonly Sweep[]): Promise<void> => {
    for (const { of, run } of which) {
      try {
        log.info({ of, removed: await run(ending.signal) }, 'swept')
      } catch (error) {
        log.warn({ of, err: error }, 'a sweep failed; the next one looks again')
      }
    }
  }
  const start = (which: readonly Sweep[]): void => {
    sweeping = sweeping.then(() => (ending.signal.aborted ? undefined : sweep(which)))
  }
  start(sweeps.filter(({ atStart }) => atStart))
  const interval = setInterval(() => start(sweeps), everyMs)
  interval.unref()
  return async () => {
    clearInterval(interval)
    ending.abort()
    await sweeping
  }
}
