import { availableParallelism } from 'node:os'
import { demoPassword } from '../../src/cli/invention.ts'
import { loadedUsername } from '../../src/cli/load.ts'
import { sql } from '../../src/kernel/sql.ts'
import { mediaModel } from '../../src/projections/media/project.ts'
import type { Sent } from '../client.ts'
import { settled } from '../deployment.ts'
import type { Figures, Job } from '../generator.ts'
import { photograph } from '../photograph.ts'
import { type Bare, startBare, startGenerator } from '../processes.ts'
import { allWell, countOf, inFlight, type Line, median, mustBe, type Parts, type Row } from '../row.ts'

/** What the issue asks for; a machine that bears less than twice that gets half of what it bears. */
const feedsPerSecond = 2_000
const rounds = 3

/** The home feed at a fixed rate, alone and beside other work: what that work costs those who only read. */
async function feedBeside(
  parts: Parts,
  { work, job, inFlight: many, seconds }: { work: string; job: Job; inFlight: number; seconds: number },
): Promise<{ line: Line; others: readonly Figures[] }> {
  const { url, readers } = parts.deployment
  const requests = readers.map(({ headers }): Sent => ({ method: 'GET', path: '/v1/feed?limit=20', headers }))
  const feeds = (perSecond: number): Promise<Figures> =>
    allWell(parts.generator.run({ kind: 'http', url, requests, once: false, perSecond, inFlight, seconds }))
  const most = await feeds(Number.POSITIVE_INFINITY)
  const offered = Math.round(Math.min(feedsPerSecond, most.perSecond / 2))
  const generator = startGenerator()
  const alone: Figures[] = []
  const beside: Figures[] = []
  const others: Figures[] = []
  try {
    for (let round = 0; round < rounds; round++) {
      alone.push(await feeds(offered))
      // Settled, so that neither is left behind alone where the other fails.
      const [feed, other] = await Promise.allSettled([
        feeds(offered),
        allWell(generator.run({ ...job, inFlight: many, seconds })),
      ])
      if (feed.status === 'rejected') throw feed.reason
      if (other.status === 'rejected') throw other.reason
      beside.push(feed.value)
      others.push(other.value)
    }
  } finally {
    await generator.end()
  }
  const p99 = (figures: Figures): number => figures.p99
  const [quiet, busy] = [median(alone, p99), median(beside, p99)]
  const line: Line = {
    ...{ work: `home feed beside ${work}`, rate: busy.perSecond, unit: '/s', p50: busy.p50, p99: busy.p99 },
    ...{ limit: quiet.perSecond, limitIs: `alone: p50 ${quiet.p50.toFixed(1)}, p99 ${quiet.p99.toFixed(1)} ms` },
    ...{ aim: 'p99 under 3x', ratio: busy.p99 / quiet.p99 },
    check: `all 200; offered ${offered}/s of ${Math.round(most.perSecond)}/s; ${median(others, one => one.perSecond).perSecond.toFixed(1)}/s of the other`,
  }
  return { line, others }
}

/** People who come back while others read: argon2id takes 19 MiB and two passes each. */
export const signIn: Row = {
  name: 'sign-in',
  async run(parts) {
    const { url, db } = parts.deployment
    const requests = Array.from({ length: Math.min(200, parts.sizes.accounts) }, (_, n): Sent => {
      const body = JSON.stringify({ login: loadedUsername(n), password: demoPassword })
      return { method: 'POST', path: '/v1/sessions', headers: { 'Content-Type': 'application/json' }, body }
    })
    const job: Job = { kind: 'http', url, requests, once: false }
    const count = () => countOf(parts.deployment, sql`select count(*) as count from log.events where type = 'SessionStarted'`)
    const before = await count()
    const { line, others } = await feedBeside(parts, { work: 'sign-ins', job, inFlight: 4, seconds: parts.sizes.seconds })
    await settled(db)
    const done = others.reduce((sum, one) => sum + one.done, 0)
    mustBe('sessions that were begun', (await count()) - before, done)
    return [{ ...line, check: `${line.check}; ${done} signed in = sessions` }]
  },
}

const [width, height] = [4_032, 3_024]

/** Uploads of what a phone takes. Decoding has one process a core but one, and by hand it gets as many. */
export const imaging: Row = {
  name: 'imaging',
  async run(parts) {
    const { deployment, sizes, generator } = parts
    const { url, readers } = deployment
    const photo = await photograph(width, height)
    const requests = readers.map(
      ({ headers }): Sent => ({
        ...{ method: 'POST', path: '/v1/media', headers: { ...headers, 'Content-Type': 'image/jpeg' }, body: photo },
      }),
    )
    const workers = Math.max(1, availableParallelism() - 1)
    const seconds = Math.max(sizes.seconds, 3)
    const job: Job = { kind: 'http', url, requests, once: false }
    const bares: Bare[] = []
    const ours: Figures[] = []
    const limits: number[] = []
    const before = await mediaCount(parts)
    try {
      for (let n = 0; n < workers; n++) bares.push(await startBare())
      const byHand = async (during: number): Promise<number> =>
        (await Promise.all(bares.map(bare => bare.imaging(photo, during)))).reduce((sum, { perSecond }) => sum + perSecond, 0)
      // One more in flight than are decoded at once, so that no decoder waits for an answer to be read.
      const uploads = (during: number): Promise<Figures> =>
        allWell(generator.run({ ...job, inFlight: workers + 1, seconds: during }))
      const warm = [await uploads(1)]
      await byHand(1)
      for (let round = 0; round < rounds; round++) {
        ours.push(await uploads(seconds))
        limits.push(await byHand(seconds))
      }
      const { line, others } = await feedBeside(parts, { work: '12-megapixel uploads', job, inFlight: workers + 1, seconds })
      await settled(deployment.db)
      const done = [...warm, ...ours, ...others].reduce((sum, one) => sum + one.done, 0)
      mustBe('pictures', (await mediaCount(parts)) - before, done)
      const one = median(ours, ({ perSecond }) => perSecond)
      return [
        {
          ...{ work: '12-megapixel JPEG → 5 renditions', rate: one.perSecond, unit: '/s', p50: one.p50, p99: one.p99 },
          ...{ limit: median(limits, rate => rate), limitIs: `the same sharp calls by hand, ${workers} process(es)`, aim: '0.8' },
          check: `${done} uploaded = pictures of 5 renditions; ${(photo.length / 1e6).toFixed(1)} MB each`,
        },
        line,
      ]
    } finally {
      for (const bare of bares) await bare.end()
    }
  },
}

const mediaCount = ({ deployment }: Parts): Promise<number> =>
  countOf(
    deployment,
    sql`select count(*) as count from ${mediaModel.t.media} where width = ${width} and json_array_length(renditions) = 5`,
  )
