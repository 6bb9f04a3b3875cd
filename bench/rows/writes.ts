import { sql } from '../../src/kernel/sql.ts'
import { accountsModel } from '../../src/projections/accounts/project.ts'
import { likesModel } from '../../src/projections/likes/project.ts'
import { mediaModel } from '../../src/projections/media/project.ts'
import { postsModel } from '../../src/projections/posts/project.ts'
import type { Sent } from '../client.ts'
import { type Deployment, settled } from '../deployment.ts'
import type { Figures, Job } from '../generator.ts'
import { countOf, inShares, type Line, type Measured, mustBe, type Parts, type Row, sideBySide } from '../row.ts'

const mostPerSecond = 15_000

/** What one INSERT writes: about what an event of ours is. */
export const written = {
  data: {
    actorId: 'a'.repeat(36),
    subject: { kind: 'post', id: 'b'.repeat(36) },
    postId: 'c'.repeat(36),
    authorId: 'd'.repeat(36),
  },
  metadata: { at: '2026-01-01T00:00:00.000Z', actorId: 'e'.repeat(36), sessionId: 'f'.repeat(36), correlationId: 'g'.repeat(36) },
}
const inserted = JSON.stringify(written)

const insertJob = (url: string): Job => ({
  kind: 'sql',
  url,
  text: 'insert into bench.inserts (id, data) values ($1, $2)',
  values: [inserted],
})

async function makeTable({ db }: Deployment): Promise<void> {
  await db.run(sql`create schema if not exists bench`)
  await db.run(sql`drop table if exists bench.inserts`)
  await db.run(
    sql`create table bench.inserts (position bigint generated always as identity primary key, id uuid not null unique, data json not null)`,
  )
}

const sum = (figures: readonly Figures[]): number => figures.reduce((total, { done }) => total + done, 0)

const headOf = ({ deployment }: Parts): Promise<number> =>
  countOf(deployment, sql`select coalesce(max(position), 0) as count from log.events`)

/** Each acknowledged command is one event in the log, of a stream of its own; and each acknowledged INSERT one row. */
async function checked(
  parts: Parts,
  before: number,
  type: string,
  { all, limits }: { all: readonly Figures[]; limits: readonly Figures[] },
): Promise<number> {
  const { deployment } = parts
  const after = sql`from log.events where position > ${before} and type = ${type}`
  mustBe(`${type} in the log`, await countOf(deployment, sql`select count(*) as count ${after}`), sum(all))
  mustBe(`streams of ${type}`, await countOf(deployment, sql`select count(distinct stream) as count ${after}`), sum(all))
  mustBe('rows of INSERT', await countOf(deployment, sql`select count(*) as count from bench.inserts`), sum(limits))
  return settled(deployment.db)
}

const insertIs = 'pg INSERT + commit, a row each'

/** A like by somebody who may see the post, of a post that they do not like yet. */
export const like: Row = {
  name: 'like',
  async run(parts) {
    const { deployment, sizes } = parts
    const { db, readers, url } = deployment
    await makeTable(deployment)
    const ids = readers.map(({ id }) => id)
    const posts = await db.run<{ id: string }>(sql`
      select p.id from ${postsModel.t.posts} p join ${accountsModel.t.accounts} a on a.id = p.author and a.type = 'personal'
      where p.audience = 'public' order by p.id limit 20000`)
    const liked = await db.run<{ pair: string }>(
      sql`select actor || ' ' || subject as pair from ${likesModel.t.likes} where actor = any(${ids}::uuid[])`,
    )
    const known = new Set(liked.map(({ pair }) => pair))
    let next = 0
    const some = (): Sent[] => {
      const requests: Sent[] = []
      for (const wanted = sizes.seconds * mostPerSecond; requests.length < wanted && next < posts.length; next++) {
        const { id } = posts[next]!
        for (const reader of readers)
          if (!known.has(`${reader.id} ${id}`))
            requests.push({ method: 'PUT', path: `/v1/posts/${id}/like`, headers: reader.headers })
      }
      return requests
    }
    const likes = () => countOf(deployment, sql`select count(*) as count from ${likesModel.t.likes}`)
    const counted = () => countOf(deployment, sql`select sum(likes) as count from ${likesModel.t.counts}`)
    const before = await headOf(parts)
    const [rowsBefore, countsBefore] = [await likes(), await counted()]
    const measured = await sideBySide(
      parts,
      () => ({ kind: 'http', url, requests: some(), once: true }),
      () => insertJob(deployment.databaseUrl),
    )
    const behind = await checked(parts, before, 'Liked', measured)
    mustBe('likes in the read model', await likes(), rowsBefore + sum(measured.all))
    mustBe('likes counted', await counted(), countsBefore + sum(measured.all))
    return [
      lineOf(
        'like',
        measured,
        '0.6, goal 1.0',
        `${sum(measured.all)} acknowledged = events = rows = counted; all projected ${Math.round(behind)} ms after the last`,
      ),
    ]
  },
}

const lineOf = (work: string, { ours, limit, cpu }: Measured, aim: string, check: string): Line => ({
  ...{ work, rate: ours.perSecond, unit: '/s', p50: ours.p50, p99: ours.p99 },
  ...{ limit: limit.perSecond, limitIs: insertIs, aim, check, cpu },
})

/** A post of a picture that is ready. */
export const post: Row = {
  name: 'post',
  async run(parts) {
    const { deployment } = parts
    const { db, readers, url } = deployment
    await makeTable(deployment)
    const headers = new Map(readers.map(reader => [reader.id, reader.headers]))
    const unused = await db.run<{ id: string; owner: string }>(sql`
      select id, owner from ${mediaModel.t.media} where post is null and not is_avatar and owner = any(${[...headers.keys()]}::uuid[]) order by id`)
    const requests = unused.map(({ id, owner }): Sent => {
      const body = JSON.stringify({ media: [{ id }], caption: 'Morning fog #light' })
      return { method: 'POST', path: '/v1/posts', headers: { ...headers.get(owner)!, 'Content-Type': 'application/json' }, body }
    })
    const share = inShares(requests)
    const before = await headOf(parts)
    const measured = await sideBySide(
      parts,
      () => ({ kind: 'http', url, requests: share(), once: true }),
      () => insertJob(deployment.databaseUrl),
    )
    const behind = await checked(parts, before, 'PostPublished', measured)
    return [
      lineOf(
        'post of a ready picture',
        measured,
        '0.5',
        `${sum(measured.all)} acknowledged = events; all projected ${Math.round(behind)} ms after the last`,
      ),
    ]
  },
}
