import { loadedUsername } from '../../src/cli/load.ts'
import { sql } from '../../src/kernel/sql.ts'
import { accountsModel } from '../../src/projections/accounts/project.ts'
import { relationshipsModel } from '../../src/projections/relationships/project.ts'
import { loaded, makeFolder, type Reader, removeFolder, type Sizes, signedIn, startDeployment } from '../deployment.ts'
import type { Figures } from '../generator.ts'
import { allWell, inFlight, type Line, median, type Parts } from '../row.ts'
import { feed } from './reads.ts'
import { rebuildAll } from './rebuilding.ts'
import { like } from './writes.ts'

const growth = 20
const rounds = 3
const most = 64

/** The networks whose growth is measured: the small one as large as the ordinary one, with fewer follows and posts, so that twenty times of it can be loaded. */
const networks = (sizes: Sizes): { small: Sizes; great: Sizes } => {
  const of = (accounts: number): Sizes => ({ ...sizes, accounts, followees: 20, posts: 2 * accounts })
  const { accounts } = sizes
  return { small: of(accounts), great: { ...of(growth * accounts), crowd: 100 * accounts, eager: Math.floor(accounts / 2) } }
}

/** Feeds of some readers beside those of others, in turn. */
async function feeds({ generator, deployment, sizes }: Parts, readers: readonly (readonly Reader[])[]): Promise<Figures[]> {
  const all: Figures[][] = readers.map(() => [])
  for (let round = 0; round <= rounds; round++) {
    for (const [index, some] of readers.entries()) {
      const requests = some.map(({ headers }) => ({ method: 'GET', path: '/v1/feed?limit=20', headers }))
      const job = { kind: 'http', url: deployment.url, requests, once: false } as const
      const figures = await allWell(generator.run({ ...job, inFlight, seconds: sizes.seconds }))
      // The first of each warms up.
      if (round > 0) all[index]!.push(figures)
    }
  }
  return all.map(some => median(some, ({ p99 }) => p99))
}

/** Readers who follow the first account beside others, and the one who follows very many, beside the ordinary. */
async function extremes(parts: Parts): Promise<Line[]> {
  const { url, db, readers } = parts.deployment
  const { crowd = 0, eager = 0, accounts } = parts.sizes
  const names = await db.run<{ username: string }>(sql`
    select a.username from ${relationshipsModel.t.follows} f join ${accountsModel.t.accounts} a on a.id = f.follower
    where f.followee = ${readers[0]!.id}::uuid and split_part(a.username, '.', 3)::int between 2 and ${accounts - 1} order by a.id limit ${most}`)
  const followers: Reader[] = []
  for (const { username } of names) followers.push(await signedIn(url, username))
  const follower = await signedIn(url, loadedUsername(1))
  const [ordinary, ofStar, ofMany] = await feeds(parts, [readers, followers, [follower]])
  const lineOf = (work: string, one: Figures): Line => ({
    ...{ work, rate: one.perSecond, unit: '/s', p50: one.p50, p99: one.p99, limit: ordinary!.perSecond },
    ...{ limitIs: `ordinary readers: p99 ${ordinary!.p99.toFixed(1)} ms`, aim: 'p99 within 2x', ratio: one.p99 / ordinary!.p99 },
    check: 'all 200',
  })
  return [
    lineOf(`feeds that an author with ${crowd.toLocaleString('en')} followers is in`, ofStar!),
    lineOf(`feed of who follows ${eager.toLocaleString('en')}`, ofMany!),
  ]
}

type Measured = { readonly feed: Line; readonly like: Line; readonly others: readonly Line[] }

async function measured(
  sizes: Sizes,
  parts: Omit<Parts, 'sizes' | 'deployment'>,
  say: (text: string) => void,
): Promise<Measured> {
  const folder = await makeFolder()
  try {
    say(
      `loads ${sizes.accounts} accounts${sizes.crowd === undefined ? '' : ` and a crowd of ${sizes.crowd}`}, ${sizes.posts} posts`,
    )
    await loaded(folder, sizes, async foundation => {
      say('rebuilds the read models')
      await rebuildAll(foundation)
    })
    const deployment = await startDeployment(folder, sizes)
    try {
      say('measures')
      const all: Parts = { ...parts, sizes, deployment }
      const [page] = await feed.run(all)
      const others = sizes.crowd === undefined ? [] : await extremes(all)
      const [command] = await like.run(all)
      return { feed: page!, like: command!, others }
    } finally {
      await deployment.stop()
    }
  } finally {
    await removeFolder(folder)
  }
}

/** What grows when the network is twenty times as large, and what its greatest author and its most eager reader cost. */
export async function large(
  sizes: Sizes,
  parts: Omit<Parts, 'sizes' | 'deployment'>,
  say: (text: string) => void,
): Promise<Line[]> {
  const { small, great } = networks(sizes)
  const before = await measured(small, parts, say)
  const after = await measured(great, parts, say)
  const from = `${small.accounts.toLocaleString('en')} accounts`
  const to = `${(great.accounts + (great.crowd ?? 0)).toLocaleString('en')} accounts`
  return [
    ...after.others,
    {
      ...after.feed,
      ...{ work: `home feed, ${to}`, limit: before.feed.rate, limitIs: `${from}: p99 ${before.feed.p99!.toFixed(1)} ms` },
      ...{ aim: 'p99 within 1.5x', ratio: after.feed.p99! / before.feed.p99!, cpu: undefined },
    },
    {
      ...after.like,
      ...{ work: `like, ${to}`, limit: before.like.rate, limitIs: from, aim: 'at least 0.67', cpu: undefined },
    },
  ]
}
