import type { Foundation } from '../../src/app.ts'
import { PostPublished, postStream } from '../../src/domain/posts/post.ts'
import type { Event, Recorded } from '../../src/kernel/events.ts'
import { newId } from '../../src/kernel/ids.ts'
import { type Db, sql } from '../../src/kernel/sql.ts'
import { feedModel } from '../../src/projections/feed/project.ts'
import { type Line, median, mustBe } from '../row.ts'

const postsPerBatch = 100
const batches = 10
const rounds = 3

type Published = { readonly authorId: string; readonly position: number }

class Undone extends Error {}

/** Does work in a transaction and undoes it: the log knows nothing of what is fanned out here. */
async function undone<T>({ db }: Foundation, work: (tx: Db) => Promise<T>): Promise<T> {
  const result: T[] = []
  try {
    await db.transaction(async tx => {
      result.push(await work(tx))
      throw new Undone()
    })
  } catch (error) {
    if (!(error instanceof Undone)) throw error
  }
  return result[0]!
}

const eventOf = ({ authorId, position }: Published): Recorded<Event> => {
  const postId = newId<'post'>()
  const at = new Date().toISOString()
  const content = { caption: 'Morning fog', hashtags: [], altTexts: [null], location: null, mentionIds: [] }
  const event = PostPublished({
    ...{ postId, authorId, mediaIds: [newId<'media'>()], ...content },
    ...{ audience: { kind: 'public' }, comments: 'everyone' },
  })
  const metadata = { at, actorId: authorId, sessionId: null, correlationId: 'bench', causationId: null, schemaVersion: 1 }
  return { ...event, id: newId(), stream: postStream(postId), revision: 0, position, metadata, at }
}

/** Posts of a thousand authors into the feeds of their followers, in the feed's own tables. Runs before the server does. */
export async function fanningOut(foundation: Foundation): Promise<Line[]> {
  const { db, store } = foundation
  const { entries, edges, authors } = feedModel.t
  const head = await store.head()
  // Of those who have posted: they follow themselves from then on.
  const found = await db.run<{ author: string }>(sql`
    select e.author from ${edges} e where not exists (select from ${authors} a where a.author = e.author)
    group by e.author having bool_or(e.viewer = e.author) order by e.author limit ${postsPerBatch * batches}`)
  const posts = found.map(({ author }, n): Published => ({ authorId: author, position: head + 1 + n }))
  const parts: Published[][] = []
  for (let n = 0; n < posts.length; n += postsPerBatch) parts.push(posts.slice(n, n + postsPerBatch))

  // After a rebuild autovacuum would come to these tables, beside either of the two.
  await db.run(sql`vacuum analyze ${entries}`)
  const timed = (batch: (tx: Db, part: readonly Published[]) => Promise<unknown>) =>
    undone(foundation, async tx => {
      const began = performance.now()
      for (const part of parts) await batch(tx, part)
      const seconds = (performance.now() - began) / 1_000
      const [row] = await tx.run<{ count: number }>(sql`select count(*) as count from ${entries} where position > ${head}`)
      return { seconds, rows: row!.count }
    })
  const ours = () => timed((tx, part) => feedModel.projectInto(feedModel.key, part.map(eventOf), tx))
  const byHand = () =>
    timed((tx, part) => {
      const positions = sql`${sql.val(part.map(({ position }) => position))}::bigint[]`
      const writers = sql`${sql.val(part.map(({ authorId }) => authorId))}::uuid[]`
      return tx.run(sql`
        insert into ${entries} (viewer, position)
        select e.viewer, p.position from unnest(${positions}, ${writers}) as p (position, author) join ${edges} e on e.author = p.author`)
    })
  const all = [await ours()]
  const limits = [await byHand()]
  for (let round = 0; round < rounds; round++) {
    all.push(await ours())
    limits.push(await byHand())
  }
  for (const one of [...all, ...limits]) mustBe('rows that were fanned out', one.rows, all[0]!.rows)
  const rate = ({ seconds, rows }: { seconds: number; rows: number }): number => rows / seconds
  return [
    {
      ...{ work: 'feed fan-out', rate: rate(median(all.slice(1), rate)), unit: ' rows/s', p50: null, p99: null },
      ...{ limit: rate(median(limits.slice(1), rate)), limitIs: 'the same INSERT … SELECT by hand', aim: '0.8' },
      check: `${posts.length} posts, ${all[0]!.rows} rows each time, ${postsPerBatch} posts a batch`,
    },
  ]
}
