import { sql } from '../../src/kernel/sql.ts'
import { accountsModel } from '../../src/projections/accounts/project.ts'
import { postsModel } from '../../src/projections/posts/project.ts'
import { relationshipsModel } from '../../src/projections/relationships/project.ts'
import type { Sent } from '../client.ts'
import { call, type Deployment, type Reader, settled } from '../deployment.ts'
import { allWell, inFlight, type Line, mustBe, type Parts, type Row, sideBySide } from '../row.ts'

const get = (path: string, { headers }: Reader): Sent => ({ method: 'GET', path: `/v1${path}`, headers })

/** Seconds at most for asking each once. */
const mostAsking = 10

/** Answers looked at for one that is as long as they are on average. */
const lookedAt = 64

/** Of some of the answers the one whose length is nearest to their mean: what is beside it must have as much to serialise. */
async function usualPage({ url }: Deployment, requests: readonly Sent[]): Promise<{ page: object; bytes: number }> {
  // An odd distance: who asks goes round by a power of two.
  const every = Math.ceil(requests.length / lookedAt) | 1
  const pages: { page: object; bytes: number }[] = []
  for (const { path, headers } of requests.filter((_, n) => n % every === 0)) {
    const page = await call<object>(url, 'GET', path.slice(3), { headers })
    pages.push({ page, bytes: Buffer.byteLength(JSON.stringify(page)) })
  }
  const mean = pages.reduce((sum, { bytes }) => sum + bytes, 0) / pages.length
  return pages.reduce((best, one) => (Math.abs(one.bytes - mean) < Math.abs(best.bytes - mean) ? one : best))
}

/** Some paths over HTTP, beside a route that has nothing to do but serialise an answer as long as theirs are on average. */
async function beside(parts: Parts, work: string, requests: readonly Sent[], aim: string, check: string): Promise<Line> {
  const { deployment, generator, bare } = parts
  // What is measured is a server that has run for a while; what the first requests take, which find nothing kept, is told beside it.
  const warming = await allWell(
    generator.run({ kind: 'http', url: deployment.url, requests, once: true, inFlight, seconds: mostAsking }),
  )
  const { page, bytes } = await usualPage(deployment, requests)
  await bare.serve({ page })
  const { ours, limit, cpu } = await sideBySide(
    parts,
    () => ({ kind: 'http', url: deployment.url, requests, once: false }),
    () => ({ kind: 'http', url: bare.url, requests: [{ method: 'GET', path: '/page', headers: {} }], once: false }),
  )
  const mean = ours.bytes / ours.done
  if (mean < bytes * 0.75 || mean > bytes * 1.33) throw new Error(`${work}: answers of ${mean} bytes, beside one of ${bytes}`)
  return {
    ...{ work, rate: ours.perSecond, unit: '/s', p50: ours.p50, p99: ours.p99 },
    ...{ limit: limit.perSecond, limitIs: `bare Hono, ${(bytes / 1_000).toFixed(1)} kB`, aim, cpu },
    check: `${check}; each for the first time: ${Math.round(warming.perSecond)}/s`,
  }
}

type Items = { items: { id: string }[] }

/** The first page of each reader's home feed; some are looked at. */
export async function feedRequests({ url, db, readers }: Deployment): Promise<Sent[]> {
  await settled(db)
  // What the feed's own tables do not say: the newest posts of all whom the reader follows, and of themselves.
  for (const reader of readers.slice(0, 16)) {
    const wanted = await db.run<{ id: string }>(sql`
      select p.id from ${postsModel.t.posts} p
      where p.author = ${reader.id}::uuid
        or (p.author in (select followee from ${relationshipsModel.t.follows} where follower = ${reader.id}::uuid) and p.audience in ('public', 'followers'))
      order by p.position desc limit 20`)
    const { items } = await call<Items>(url, 'GET', '/feed?limit=20', reader)
    mustBe(
      'a page of the feed',
      items.map(({ id }) => id),
      wanted.map(({ id }) => id),
    )
  }
  return readers.map(feedOf)
}

export const feedOf = (reader: Reader): Sent => get('/feed?limit=20', reader)

export const feed: Row = {
  name: 'feed',
  async run(parts) {
    const check = '16 pages equal the posts of those followed, by other tables'
    return [await beside(parts, 'home feed, page of 20', await feedRequests(parts.deployment), '0.25, goal 0.4', check)]
  },
}

/** What is read most beside the feed. */
export const reads: Row = {
  name: 'reads',
  async run(parts) {
    const { url, db, readers } = parts.deployment
    const posts = await db.run<{ id: string; author: string }>(sql`
      select p.id, p.author from ${postsModel.t.posts} p join ${accountsModel.t.accounts} a on a.id = p.author and a.type = 'personal'
      where p.audience = 'public' order by p.id limit 2000`)
    const reader = (n: number): Reader => readers[n % readers.length]!
    const discussed = posts.slice(0, 16)
    for (const { id } of discussed)
      await Promise.all(
        readers
          .slice(0, 20)
          .map((one, n) => call(url, 'POST', `/posts/${id}/comments`, { ...one, body: { text: `What a light! ${n}` } })),
      )
    await settled(db)
    for (const { id } of discussed)
      mustBe('comments on the first page', (await call<Items>(url, 'GET', `/posts/${id}/comments`, reader(0))).items.length, 20)
    const lines: Line[] = []
    for (const [work, paths, check] of [
      ['post by id', posts.map(({ id }) => `/posts/${id}`), 'all 200'],
      ['profile grid, page of 20', posts.map(({ author }) => `/accounts/${author}/posts?limit=20`), 'all 200'],
      ['comments, page of 20', discussed.map(({ id }) => `/posts/${id}/comments`), '20 on each'],
      ['notifications, page of 20', readers.map(() => '/notifications'), 'all 200'],
    ] as const) {
      lines.push(
        await beside(
          parts,
          work,
          paths.map((path, n) => get(path, reader(n))),
          '0.25',
          check,
        ),
      )
    }
    return lines
  },
}
