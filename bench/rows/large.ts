import { loadedUsername } from '../../src/cli/load.ts'
import { sql } from '../../src/kernel/sql.ts'
import { accountsModel } from '../../src/projections/accounts/project.ts'
import { relationshipsModel } from '../../src/projections/relationships/project.ts'
import type { Sent } from '../client.ts'
import { type Deployment, loaded, makeFolder, removeFolder, type Sizes, signedIn, startDeployment } from '../deployment.ts'
import type { Figures, Job } from '../generator.ts'
import { allWell, inFlight, type Line, median, type Parts, rounds, warmUp } from '../row.ts'
import { feedOf, feedRequests } from './reads.ts'
import { rebuildAll } from './rebuilding.ts'
import { like } from './writes.ts'

const growth = 20
const most = 64

/** The networks whose growth is measured: the small one as large as the ordinary one, with fewer follows and posts, so that twenty times of it can be loaded. */
const networks = (sizes: Sizes): { small: Sizes; great: Sizes & { readonly crowd: number; readonly eager: number } } => {
  const of = (accounts: number): Sizes => ({ ...sizes, accounts, followees: 20, posts: 2 * accounts })
  const { accounts } = sizes
  return { small: of(accounts), great: { ...of(growth * accounts), crowd: 100 * accounts, eager: Math.floor(accounts / 2) } }
}

/** Home feeds of some readers of a network. */
type Feeds = { readonly deployment: Deployment; readonly requests: readonly Sent[] }

/** Some feeds beside others, in turn: what is measured minutes apart says more of the machine than of the network. */
async function inTurn(parts: Pick<Parts, 'generator' | 'sizes'>, all: readonly Feeds[]): Promise<Figures[]> {
  const { generator, sizes } = parts
  const jobs = all.map(({ deployment: { url }, requests }): Job => ({ kind: 'http', url, requests, once: false }))
  for (const job of jobs) await warmUp(parts, () => job)
  const measured: Figures[][] = all.map(() => [])
  for (let round = 0; round < rounds; round++)
    for (const [index, job] of jobs.entries())
      measured[index]!.push(await allWell(generator.run({ ...job, inFlight, seconds: sizes.seconds })))
  return measured.map(some => median(some, ({ p99 }) => p99))
}

/** Some who follow the first account, and the one who follows very many. */
async function extremes({ url, db, readers }: Deployment, { accounts }: Sizes): Promise<{ ofStar: Sent[]; ofMany: Sent[] }> {
  const names = await db.run<{ username: string }>(sql`
    select a.username from ${relationshipsModel.t.follows} f join ${accountsModel.t.accounts} a on a.id = f.follower
    where f.followee = ${readers[0]!.id}::uuid and split_part(a.username, '.', 3)::int between 2 and ${accounts - 1} order by a.id limit ${most}`)
  const ofStar: Sent[] = []
  for (const { username } of names) ofStar.push(feedOf(await signedIn(url, username)))
  return { ofStar, ofMany: [feedOf(await signedIn(url, loadedUsername(1)))] }
}

/** What grows when the network is twenty times as large, and what its greatest author and its most eager reader cost. */
export async function large(
  sizes: Sizes,
  parts: Omit<Parts, 'sizes' | 'deployment'>,
  say: (text: string) => void,
): Promise<Line[]> {
  const { small, great } = networks(sizes)
  const ending: (() => Promise<unknown>)[] = []
  try {
    const folders: string[] = []
    for (const each of [small, great]) {
      const folder = await makeFolder()
      ending.push(() => removeFolder(folder))
      folders.push(folder)
      say(
        `loads ${each.accounts} accounts${each.crowd === undefined ? '' : ` and a crowd of ${each.crowd}`}, ${each.posts} posts`,
      )
      await loaded(folder, each, async foundation => {
        say('rebuilds the read models')
        await rebuildAll(foundation)
      })
    }
    const deployments: Deployment[] = []
    for (const [index, each] of [small, great].entries()) {
      const deployment = await startDeployment(folders[index]!, each)
      ending.push(() => deployment.stop())
      deployments.push(deployment)
    }
    const [one, other] = deployments as [Deployment, Deployment]
    say('measures')
    const { ofStar, ofMany } = await extremes(other, great)
    const feeds = [
      { deployment: one, requests: await feedRequests(one) },
      { deployment: other, requests: await feedRequests(other) },
      { deployment: other, requests: ofStar },
      { deployment: other, requests: ofMany },
    ]
    const [before, ordinary, star, many] = await inTurn({ ...parts, sizes }, feeds)
    const [likeBefore] = await like.run({ ...parts, sizes: small, deployment: one })
    const [likeAfter] = await like.run({ ...parts, sizes: great, deployment: other })
    const from = `${small.accounts.toLocaleString('en')} accounts`
    const to = `${(great.accounts + great.crowd).toLocaleString('en')} accounts`
    const feedLine = (work: string, figures: Figures, limit: Figures, limitIs: string, aim: string, check: string): Line => ({
      ...{ work, rate: figures.perSecond, unit: '/s', p50: figures.p50, p99: figures.p99, aim, check },
      ...{ limit: limit.perSecond, limitIs: `${limitIs}: p99 ${limit.p99.toFixed(1)} ms`, ratio: figures.p99 / limit.p99 },
    })
    const within = (work: string, figures: Figures): Line =>
      feedLine(work, figures, ordinary!, 'ordinary readers', 'p99 within 2x', 'all 200')
    return [
      within(`feeds that an author with ${great.crowd.toLocaleString('en')} followers is in`, star!),
      within(`feed of who follows ${great.eager.toLocaleString('en')}`, many!),
      feedLine(`home feed, ${to}`, ordinary!, before!, from, 'p99 within 1.5x', '16 pages equal those by other tables, in both'),
      {
        ...likeAfter!,
        ...{ work: `like, ${to}`, limit: likeBefore!.rate, limitIs: from, aim: 'at least 0.67', cpu: undefined },
      },
    ]
  } finally {
    // Each, whatever the others do; and what was measured is told, or what failed first.
    for (const end of ending.reverse()) await end().catch(error => say(`could not be ended: ${error}`))
  }
}
