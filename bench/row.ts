import type { RawBuilder } from '../src/kernel/sql.ts'
import type { Sent } from './client.ts'
import type { Deployment, Sizes } from './deployment.ts'
import type { Figures, Job } from './generator.ts'
import type { Bare, Generator } from './processes.ts'
import { processorTime } from './processor.ts'

/** One line of the table. Rates a second, times in milliseconds. */
export type Line = {
  readonly work: string
  readonly rate: number | null
  readonly unit: string
  readonly p50: number | null
  readonly p99: number | null
  /** The machine's own limit, in the same unit. */
  readonly limit: number | null
  readonly limitIs: string
  /** What the issue asks the ratio of rate and limit to be, or of p99 (ms). */
  readonly aim: string
  /** What was looked at, so that nothing was lost or doubled; throws where it was. */
  readonly check: string
  /** What is compared where it is not `rate` to `limit`. */
  readonly ratio?: number
  readonly cpu?: { readonly ours: Cpu; readonly limit: Cpu } | undefined
}

/** Microseconds of the processor for each that was done. */
export type Cpu = { readonly server: number; readonly postgres: number; readonly generator: number }

export type Parts = { readonly sizes: Sizes; readonly deployment: Deployment; readonly generator: Generator; readonly bare: Bare }

/** What is measured against the running server, under a name for `--only`. */
export type Row = { readonly name: string; run(parts: Parts): Promise<Line[]> }

export const inFlight = 32
/** How often each is measured. */
export const rounds = 3
/** A warm-up goes on while it makes this many times as fast: what runs often is compiled anew for seconds. One second that does not may be the machine's. */
const stillFaster = 1.05
const enough = 2
/** Seconds of a warm-up at most. */
const mostWarming = 8

/** The middle one, by its rate. */
export const median = <T>(of: readonly T[], by: (one: T) => number): T =>
  [...of].sort((a, b) => by(a) - by(b))[Math.floor(of.length / 2)]!

export type Measured = {
  readonly ours: Figures
  readonly limit: Figures
  readonly cpu: Line['cpu']
  /** Those that warmed up too. */
  readonly all: readonly Figures[]
  readonly limits: readonly Figures[]
}

/** Runs jobs for a second each until two in a row were not faster than those before, or for so many seconds as are the most. */
export async function warmUp({ generator, sizes }: Pick<Parts, 'generator' | 'sizes'>, job: () => Job): Promise<Figures[]> {
  const warm: Figures[] = []
  let best = 0
  for (let idle = 0; idle < enough && warm.length < mostWarming; ) {
    const figures = await allWell(generator.run({ ...job(), inFlight, seconds: Math.min(1, sizes.seconds) }))
    warm.push(figures)
    idle = figures.perSecond > best * stillFaster ? 0 : idle + 1
    best = Math.max(best, figures.perSecond)
  }
  return warm
}

/** Ours and the machine's in turn, three times each, the first of each after a warm-up that does not count. */
export async function sideBySide(
  { generator, sizes, deployment, bare }: Parts,
  ours: () => Job,
  limit: () => Job,
): Promise<Measured> {
  const { postgres } = deployment.pids
  const run = (job: Job): Promise<Figures> => allWell(generator.run({ ...job, inFlight, seconds: sizes.seconds }))
  const all = await warmUp({ generator, sizes }, ours)
  const limits = await warmUp({ generator, sizes }, limit)
  const ourCosts = costs(deployment.pids.server, postgres)
  const limitCosts = costs(bare.pid, postgres)
  for (let round = 0; round < rounds; round++) {
    all.push(await ourCosts.of(() => run(ours())))
    limits.push(await limitCosts.of(() => run(limit())))
  }
  const cpu = postgres === null ? undefined : { ours: ourCosts.each(), limit: limitCosts.each() }
  const rate = ({ perSecond }: Figures): number => perSecond
  return { ours: median(all.slice(-rounds), rate), limit: median(limits.slice(-rounds), rate), cpu, all, limits }
}

/** Requests that serve once, in as many shares as there may be runs: each takes the next. */
export function inShares(requests: readonly Sent[]): () => readonly Sent[] {
  const each = Math.floor(requests.length / (mostWarming + rounds))
  let next = 0
  return () => {
    next += each
    return requests.slice(next - each, next)
  }
}

/** @throws where anything was refused, or nothing done */
export async function allWell(running: Promise<Figures>): Promise<Figures> {
  const figures = await running
  if (Object.keys(figures.failed).length > 0) throw new Error(`requests failed: ${JSON.stringify(figures.failed)}`)
  if (figures.done === 0) throw new Error('nothing was done: no requests were left')
  return figures
}

/** What several runs take of the processor. */
function costs(server: number, postgres: number | null) {
  let done = 0
  const spent = { server: 0, postgres: 0, generator: 0 }
  const time = async (pid: number | null): Promise<number> => (pid === null ? null : await processorTime(pid)) ?? 0
  return {
    async of(run: () => Promise<Figures>): Promise<Figures> {
      const before = [await time(server), await time(postgres)] as const
      const figures = await run()
      spent.server += (await time(server)) - before[0]
      spent.postgres += (await time(postgres)) - before[1]
      spent.generator += figures.cpu
      done += figures.done
      return figures
    },
    each: (): Cpu => ({ server: spent.server / done, postgres: spent.postgres / done, generator: spent.generator / done }),
  }
}

/** @throws what a check found */
export function mustBe(what: string, found: unknown, wanted: unknown): void {
  const [one, other] = [found, wanted].map(value => JSON.stringify(value))
  if (one !== other) throw new Error(`${what}: ${one} instead of ${other}`)
}

/** The one number that a statement counts. */
export const countOf = async ({ db }: Deployment, statement: RawBuilder<unknown>): Promise<number> =>
  (await db.run<{ count: number }>(statement as RawBuilder<{ count: number }>))[0]!.count
