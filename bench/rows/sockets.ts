import { setTimeout as pause } from 'node:timers/promises'
import { sql } from '../../src/kernel/sql.ts'
import { accountsModel } from '../../src/projections/accounts/project.ts'
import { mediaModel } from '../../src/projections/media/project.ts'
import { postsModel } from '../../src/projections/posts/project.ts'
import { relationshipsModel } from '../../src/projections/relationships/project.ts'
import { call, type Reader, settled, signedIn } from '../deployment.ts'
import { quantile } from '../generator.ts'
import { type Audience, openAudience } from '../processes.ts'
import { now, residentOf } from '../processor.ts'
import { type Line, median, mustBe, type Parts, type Row } from '../row.ts'

/** As many as an account may have. */
const perAccount = 20
const topics = 4
const rounds = 9
/** Each of some connections plans what a post writes when it does for the first time. */
const postsToWarm = 9
/** Milliseconds in which a topic is told once. */
const quiet = 300

/** Milliseconds until the last socket was told; bytes of a message. */
type Burst = { readonly ms: number; readonly bytes: number }

/** Does what all sockets are told of `each` times. */
async function burst(audience: Audience, type: string, each: number, act: () => Promise<unknown>): Promise<Burst> {
  await pause(quiet)
  const heard = await audience.expect({ type, each })
  const began = now()
  const [{ last, bytes }] = await Promise.all([heard(), act()])
  return { ms: last - began, bytes }
}

/** Accounts that follow a reader, signed in, and that reader: the one whom the most follow. */
async function audienceOf({ deployment, sizes }: Parts): Promise<{ author: Reader; followers: Reader[] }> {
  const { db, url, readers } = deployment
  const { follows, counts } = relationshipsModel.t
  const [most] = await db.run<{ account: string }>(sql`
    select account from ${counts} where account = any(${readers.map(({ id }) => id)}::uuid[]) order by followers desc limit 1`)
  const author = readers.find(({ id }) => id === most?.account)!
  const names = await db.run<{ username: string }>(sql`
    select a.username from ${follows} f join ${accountsModel.t.accounts} a on a.id = f.follower
    where f.followee = ${author.id}::uuid order by a.id limit ${Math.ceil(sizes.sockets / perAccount)}`)
  const followers: Reader[] = []
  for (const { username } of names) followers.push(await signedIn(url, username))
  return { author, followers }
}

const p50 = (bursts: readonly Burst[]): number => median(bursts, ({ ms }) => ms).ms

/** As many sockets as asked, of accounts that follow one author, who watch some posts. */
async function opened(parts: Parts) {
  const { url, db } = parts.deployment
  const { author, followers } = await audienceOf(parts)
  const posts = await db.run<{ id: string }>(sql`
    select p.id from ${postsModel.t.posts} p join ${accountsModel.t.accounts} a on a.id = p.author and a.type = 'personal'
    where p.audience = 'public' order by p.id desc limit ${topics}`)
  const headers = followers
    .flatMap(({ headers }) => Array.from({ length: perAccount }, () => headers))
    .slice(0, parts.sizes.sockets)
  const frames = posts.map(({ id }) => JSON.stringify({ type: 'subscribe', topic: `post:${id}` }))
  const open = (): Promise<Audience> =>
    openAudience({ url: `${url.replace('http', 'ws')}/v1/live`, headers, frames, first: 2 * topics })
  return { author, followers, posts, headers, open }
}

/**
 * What a socket takes of a server that has just started: resident memory before and after they are opened. One that has served for a while has room for them
 * in what it was given before, and does not grow.
 */
export const socketMemory: Row = {
  name: 'sockets',
  async run(parts) {
    const { pid } = parts.deployment.server.child
    const { headers, open } = await opened(parts)
    const before = await residentOf(pid!)
    const began = now()
    const audience = await open()
    const seconds = (now() - began) / 1_000
    try {
      const after = await residentOf(pid!)
      const grown = before === null || after === null ? null : (after - before) / headers.length / 1_024
      return [
        {
          ...{
            work: 'live: memory of a socket',
            rate: grown,
            unit: ' KiB',
            p50: null,
            p99: null,
            limit: null,
            limitIs: '-',
            aim: '-',
          },
          check: `${headers.length} opened in ${seconds.toFixed(0)} s, each watching ${topics} posts; from ${Math.round((before ?? 0) / 2 ** 20)} MiB`,
        },
      ]
    } finally {
      await audience.end()
    }
  },
}

/** Many live sockets on one node: what changes for a post that all of them watch, and a post to all of them. */
export const sockets: Row = {
  name: 'sockets',
  async run(parts) {
    const { deployment, bare } = parts
    const { url, db, readers } = deployment
    const { author, followers, posts, headers, open } = await opened(parts)
    const toggle = (method: string, many: number): Promise<unknown> =>
      Promise.all(posts.slice(0, many).map(({ id }) => call(url, method, `/posts/${id}/like`, { headers: readers[0]!.headers })))
    await toggle('DELETE', topics)
    await settled(db)
    await pause(quiet)

    const ours = await open()
    try {
      const limit = await openAudience({ url: `${bare.url.replace('http', 'ws')}/live`, headers, frames: [], first: 0 })
      try {
        const compared = async (type: string, each: number, act: (round: number) => Promise<unknown>, warming: number) => {
          const all: Burst[] = []
          const limits: Burst[] = []
          for (let round = 0; round < warming + rounds; round++) {
            const done = await burst(ours, `"type":"${type}"`, each, () => act(round))
            const text = JSON.stringify({ type, data: 'x'.repeat(Math.max(0, done.bytes - 30)) })
            all.push(done)
            limits.push(await burst(limit, `"type":"${type}"`, each, () => bare.broadcast(text, each)))
          }
          return { all: all.slice(warming), limits: limits.slice(warming) }
        }
        const lineOf = (work: string, each: number, bursts: { all: Burst[]; limits: Burst[] }, one = bursts): Line => {
          const rate = (of: readonly Burst[]): number => (headers.length * each * 1_000) / p50(of)
          const sorted = one.all.map(({ ms }) => ms).sort((a, b) => a - b)
          return {
            ...{ work, rate: rate(bursts.all), unit: '/s', p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) },
            ...{ limit: rate(bursts.limits), limitIs: `bare ws broadcast, ${bursts.all[0]!.bytes} B`, aim: '0.7' },
            check: `each told once; times: of the last of ${headers.length} sockets, bare ${p50(one.limits).toFixed(1)} ms`,
          }
        }
        const method = (round: number): string => (round % 2 === 0 ? 'PUT' : 'DELETE')
        const many = await compared('post.counts', topics, round => toggle(method(round), topics), 1)
        const single = await compared('post.counts', 1, round => toggle(method(round), 1), 1)
        const unused = await db.run<{ id: string }>(sql`
          select id from ${mediaModel.t.media} where owner = ${author.id}::uuid and post is null and not is_avatar order by id limit ${postsToWarm + rounds}`)
        const publish = (n: number): Promise<unknown> =>
          call(url, 'POST', '/posts', { headers: author.headers, body: { media: [{ id: unused[n]!.id }], caption: 'To all' } })
        const published = await compared('feed.post', 1, publish, postsToWarm)
        mustBe('pictures to post', unused.length, postsToWarm + rounds)
        return [
          lineOf(`live: counts of ${topics} posts`, topics, many, single),
          lineOf(`live: a post to ${followers.length} followers`, 1, published),
        ]
      } finally {
        await limit.end()
      }
    } finally {
      await ours.end()
    }
  },
}
