import { writeFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Database, sql } from '../src/kernel/sql.ts'
import { accountsModel } from '../src/projections/accounts/project.ts'
import { postsModel } from '../src/projections/posts/project.ts'
import { chart } from './chart.ts'
import type { Sent } from './client.ts'
import {
  type Deployment,
  loaded,
  makeFolder,
  type Reader,
  readersOf,
  removeFolder,
  type Sizes,
  settled,
  startDeployment,
} from './deployment.ts'
import type { Figures } from './generator.ts'
import { startGenerator } from './processes.ts'
import { allWell, countOf, inFlight, mustBe } from './row.ts'
import { rebuildAll } from './rows/rebuilding.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    accounts: { type: 'string', default: '2000' },
    posts: { type: 'string', default: '20000' },
    followees: { type: 'string', default: '50' },
    /** Requests a second; by default half of what the machine bears. */
    rate: { type: 'string' },
    svg: { type: 'string', default: 'soak.svg' },
    json: { type: 'string', default: 'soak.json' },
  },
})
const numberOf = (name: 'minutes' | 'accounts' | 'posts' | 'followees'): number => {
  const number = Number(values[name])
  if (!(number > 0)) throw new Error(`--${name} takes a number above 0`)
  return number
}
const sizes: Sizes = {
  ...{ accounts: numberOf('accounts'), posts: numberOf('posts'), followees: numberOf('followees') },
  ...{ seconds: 3, sockets: 0 },
}
const minutes = numberOf('minutes')
/** Seconds between two looks: some 200 of them, but none so near that looking is work. */
const every = Math.max(2, (minutes * 60) / 200)
/** Milliseconds after which the readers sign in again, for their tokens serve for 15 minutes. */
const tokensServe = 10 * 60_000
/** What of the time is warming up. */
const warmShare = 0.25
/** As many comments are written first as the server keeps of anything that comments bring: an hour alone would not fill that, and memory would rise as it fills. */
const mostKept = 50_000

const publicPosts = (db: Database) =>
  db.run<{ id: string; author: string }>(sql`
    select p.id, p.author from ${postsModel.t.posts} p join ${accountsModel.t.accounts} a on a.id = p.author and a.type = 'personal'
    where p.audience = 'public' order by p.id limit 1000`)

const comment = (postId: string, { headers }: Reader): Sent => ({
  method: 'POST',
  path: `/v1/posts/${postId}/comments`,
  headers: { ...headers, 'Content-Type': 'application/json' },
  body: '{"text":"What a light!"}',
})

/** 60 % feed, 30 % profile and post, 10 % writes, each hundred in an order that mixes them. What is liked in one hundred is unliked in the next. */
async function mixed({ db, readers }: Deployment): Promise<{ requests: Sent[]; isComment: boolean[] }> {
  const posts = await publicPosts(db)
  const requests: Sent[] = []
  const isComment: boolean[] = []
  for (let n = 0; n < 20_000; n++) {
    const reader = readers[n % readers.length]!
    const { headers } = reader
    const { id, author } = posts[(n * 7) % posts.length]!
    // 37 and 100 have no common divisor: each of the hundred comes once.
    const kind = (n * 37) % 100
    const like = {
      path: `/v1/posts/${posts[(Math.floor(n / 200) * 7 + kind) % posts.length]!.id}/like`,
      headers: readers[kind % readers.length]!.headers,
    }
    if (kind < 60) requests.push({ method: 'GET', path: '/v1/feed?limit=20', headers })
    else if (kind < 75) requests.push({ method: 'GET', path: `/v1/accounts/${author}/posts?limit=20`, headers })
    else if (kind < 90) requests.push({ method: 'GET', path: `/v1/posts/${id}`, headers })
    else if (kind < 98) requests.push({ method: Math.floor(n / 100) % 2 === 0 ? 'PUT' : 'DELETE', ...like })
    else requests.push(comment(id, reader))
    isComment.push(kind >= 98)
  }
  return { requests, isComment }
}

type Sample = {
  readonly minute: number
  readonly rssMiB: number
  readonly heapMiB: number
  readonly delayP50: number
  readonly delayP99: number
  readonly sockets: number
  readonly postgres: number
  readonly deadPercent: number
  readonly databaseMiB: number
  readonly perSecond: number
  readonly p99: number
}

/** What the server and its database say of themselves. */
async function look({ url, db }: Deployment): Promise<Omit<Sample, 'minute' | 'perSecond' | 'p99'>> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const metric = (name: string): number =>
    Number(
      text
        .split('\n')
        .find(line => line.startsWith(`${name} `))
        ?.split(' ')[1] ?? Number.NaN,
    )
  const [row] = await db.run<{ postgres: number; dead: number; size: number }>(sql`
    select (select count(*) from pg_stat_activity where datname = current_database() and backend_type = 'client backend') as postgres,
      (select 100.0 * sum(n_dead_tup) / greatest(sum(n_live_tup + n_dead_tup), 1) from pg_stat_user_tables)::double precision as dead,
      pg_database_size(current_database()) as size`)
  const mebi = 2 ** 20
  return {
    ...{ rssMiB: metric('process_resident_memory_bytes') / mebi, heapMiB: metric('nodejs_heap_size_used_bytes') / mebi },
    ...{
      delayP50: metric('nodejs_eventloop_lag_p50_seconds') * 1_000,
      delayP99: metric('nodejs_eventloop_lag_p99_seconds') * 1_000,
    },
    ...{ sockets: metric('nodejs_active_resources{type="TCPSocketWrap"}'), postgres: row!.postgres },
    ...{ deadPercent: row!.dead, databaseMiB: row!.size / mebi },
  }
}

/** The line of least squares through the values after warm-up: where it begins and ends, and the standard error of its rise. */
function fitted(samples: readonly Sample[], of: (sample: Sample) => number): { from: number; to: number; error: number } {
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0)
  const [xs, ys] = [samples.map(({ minute }) => minute), samples.map(of)]
  const [middleX, middleY] = [sum(xs) / xs.length, sum(ys) / ys.length]
  const spread = sum(xs.map(x => (x - middleX) ** 2))
  const slope = sum(xs.map((x, n) => (x - middleX) * (ys[n]! - middleY))) / spread
  const at = (x: number): number => middleY + slope * (x - middleX)
  const rest = sum(xs.map((x, n) => (ys[n]! - at(x)) ** 2)) / Math.max(1, xs.length - 2)
  const [first, last] = [xs[0] ?? 0, xs.at(-1) ?? 0]
  return { from: at(first), to: at(last), error: Math.sqrt(rest / spread) * (last - first) }
}

/** What must not grow, and by how much the fitted line may yet: a share of where it begins, or so much where that is more. */
const criteria = [
  { name: 'resident', unit: 'MiB', of: (one: Sample) => one.rssMiB, share: 0.1, least: 16 },
  { name: 'heap used', unit: 'MiB', of: (one: Sample) => one.heapMiB, share: 0.1, least: 16 },
  { name: 'event-loop delay p99', unit: 'ms', of: (one: Sample) => one.delayP99, share: 0.2, least: 5 },
  { name: 'sockets', unit: '', of: (one: Sample) => one.sockets, share: 0.1, least: 4 },
  { name: 'to Postgres', unit: '', of: (one: Sample) => one.postgres, share: 0.1, least: 2 },
  { name: 'dead rows', unit: '%', of: (one: Sample) => one.deadPercent, share: 0.2, least: 5 },
] as const

function judged(samples: readonly Sample[]) {
  return criteria.map(({ name, unit, of, share, least }) => {
    const { from, to, error } = fitted(samples, of)
    const allowed = Math.max(share * from, least)
    // What lies within twice its error may be chance.
    return { name, unit, from, to, error, allowed, flat: to - from <= Math.max(allowed, 2 * error) }
  })
}

const began = performance.now()
const say = (text: string): void =>
  void process.stderr.write(`${((performance.now() - began) / 1_000).toFixed(0).padStart(5)} s  ${text}\n`)

const folder = await makeFolder()
const ending: (() => Promise<unknown>)[] = [() => removeFolder(folder)]
const samples: Sample[] = []
let offered = 0
let stopping = false
process.once('SIGINT', () => {
  stopping = true
  say('ends after what is under way; once more to end at once')
})
try {
  say(`loads ${sizes.accounts} accounts, ${sizes.followees} followees each, ${sizes.posts} posts`)
  await loaded(folder, sizes, async foundation => void (await rebuildAll(foundation)))
  const deployment = await startDeployment(folder, sizes)
  ending.push(() => deployment.stop())
  const generator = startGenerator()
  ending.push(() => generator.end())
  const { url } = deployment
  let { requests, isComment } = await mixed(deployment)
  let signedInAt = performance.now()
  const comments = () => countOf(deployment, sql`select count(*) as count from log.events where type = 'CommentAdded'`)
  const before = await comments()
  let commented = 0
  const run = async (seconds: number, perSecond: number): Promise<Figures> => {
    const figures = await allWell(generator.run({ kind: 'http', url, requests, once: false, perSecond, inFlight, seconds }))
    for (let n = 0; n < figures.done; n++) if (isComment[n % isComment.length]) commented++
    return figures
  }
  say(`writes ${mostKept} comments, so that the server keeps as much as it may`)
  const posts = await publicPosts(deployment.db)
  const filling = Array.from({ length: mostKept }, (_, n) =>
    comment(posts[(n * 7) % posts.length]!.id, deployment.readers[n % deployment.readers.length]!),
  )
  const filled = await allWell(
    generator.run({
      kind: 'http',
      url,
      requests: filling,
      once: true,
      perSecond: Number.POSITIVE_INFINITY,
      inFlight,
      seconds: 600,
    }),
  )
  mustBe('comments written', filled.done, mostKept)
  commented += filled.done
  const most = await run(5, Number.POSITIVE_INFINITY)
  offered = Math.round(values.rate === undefined ? most.perSecond / 2 : Number(values.rate))
  say(`${offered} requests a second for ${minutes} minutes; at most ${Math.round(most.perSecond)} were borne`)
  const start = performance.now()
  const minute = (): number => (performance.now() - start) / 60_000
  while (minute() < minutes && !stopping) {
    if (performance.now() - signedInAt > tokensServe) {
      signedInAt = performance.now()
      ;({ requests, isComment } = await mixed({ ...deployment, readers: await readersOf(url, sizes) }))
    }
    const looking = pause(every * 500).then(async () => ({ minute: minute(), ...(await look(deployment)) }))
    const [{ perSecond, p99 }, seen] = await Promise.all([run(every, offered), looking])
    samples.push({ ...seen, perSecond, p99 })
    if (samples.length % 20 === 0) say(`${minute().toFixed(1)} min: ${seen.rssMiB.toFixed(0)} MiB, p99 ${p99.toFixed(0)} ms`)
  }
  await settled(deployment.db)
  mustBe('comments in the log', (await comments()) - before, commented)
} finally {
  for (const end of ending.reverse()) await end()
}

const warm = (samples.at(-1)?.minute ?? 0) * warmShare
const verdicts = judged(samples.filter(sample => sample.minute > warm))
const noteOf = (...names: string[]): string =>
  verdicts
    .filter(({ name }) => names.includes(name))
    .map(
      ({ from, to, flat, name }) =>
        `${names.length > 1 ? `${name} ` : ''}${from.toFixed(0)} → ${to.toFixed(0)}, ${flat ? 'flat' : 'grows'}`,
    )
    .join('; ')
const series = (name: string, of: (sample: Sample) => number) => ({ name, values: samples.map(of) })
const picture = chart(
  `Darkroom for ${minutes} minutes at ${offered} requests a second`,
  '60 % feed, 30 % profile and post, 10 % writes; minutes along; shaded: warming up, not judged',
  samples.map(({ minute }) => minute),
  warm,
  [
    {
      ...{ title: 'Memory of the server', unit: 'MiB', note: noteOf('resident', 'heap used') },
      series: [series('resident', one => one.rssMiB), series('heap used', one => one.heapMiB)],
    },
    {
      ...{ title: 'Event-loop delay', unit: 'ms (a timer of 10 ms)', note: `p99 ${noteOf('event-loop delay p99')}` },
      series: [series('p50', one => one.delayP50), series('p99', one => one.delayP99)],
    },
    {
      ...{ title: 'Connections of the server', unit: 'number', note: noteOf('sockets', 'to Postgres') },
      series: [series('sockets', one => one.sockets), series('to Postgres', one => one.postgres)],
    },
    {
      ...{ title: 'Table bloat', unit: 'dead rows, % of all', note: noteOf('dead rows') },
      series: [series('dead rows', one => one.deadPercent)],
    },
    { title: 'Answers', unit: 'p99, ms', note: 'not judged', series: [series('p99', one => one.p99)] },
    { title: 'Answers', unit: 'a second', note: 'all as they should be', series: [series('rate', one => one.perSecond)] },
  ],
)
await writeFile(values.svg, picture)
await writeFile(values.json, `${JSON.stringify({ sizes, minutes, offered, warm, verdicts, samples }, null, 2)}\n`)
for (const { name, unit, from, to, error, allowed, flat } of verdicts)
  process.stdout.write(
    `${flat ? 'flat ' : 'GROWS'}  ${name}: ${from.toFixed(1)} → ${to.toFixed(1)} ${unit} by the line of least squares after ${warm.toFixed(1)} minutes; ${allowed.toFixed(1)} more are allowed, or twice its standard error of ${error.toFixed(1)}\n`,
  )
process.stdout.write(`${values.svg} and ${values.json} are written\n`)
if (verdicts.some(({ flat }) => !flat)) process.exitCode = 1
