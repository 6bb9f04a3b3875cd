import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { PostPublished } from '../../src/domain/posts/post.ts'
import { journalKept } from '../../src/kernel/live/journal.ts'
import { sql } from '../../src/kernel/sql.ts'
import { liveModel } from '../../src/projections/live/project.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'
import { recorded } from '../support/projection.ts'

let kernel: TestKernel
const { journal, head } = liveModel.t

beforeAll(async () => {
  kernel = await testKernel([liveModel])
})
afterAll(() => kernel.close())

it('keeps the journal for 72 hours, and looks for what is older once in a thousand rows, and once an hour', async () => {
  const [post] = recorded([
    PostPublished({
      ...{ postId: randomUUID(), authorId: randomUUID(), mediaIds: [randomUUID()], altTexts: null, caption: null },
      ...{ hashtags: [], mentionIds: [], location: null, audience: { kind: 'public' }, comments: 'everyone' },
    }),
  ])
  const ends = new Date(Date.parse(post!.at) - journalKept)
  const project = (at = post!.at) => kernel.db.transaction(tx => liveModel.projectInto(liveModel.key, [{ ...post!, at }], tx))
  const seqs = async () =>
    (await kernel.db.run<{ seq: number }>(sql`select seq from ${journal} order by seq`)).map(({ seq }) => seq)
  // The first that a process writes begins an hour for it.
  await project()
  await kernel.db.run(sql`delete from ${journal}`)
  await kernel.db.run(sql`update ${head} set seq = 998`)
  for (const [seq, at] of [
    [996, ends.getTime() - 1],
    [997, ends.getTime()],
    [998, Date.parse(post!.at)],
  ] as const)
    await kernel.db.run(sql`
      insert into ${journal} (seq, position, at, kind, key, type, ids)
      values (${seq}, 0, ${new Date(at).toISOString()}, 'account', 'somebody', 'followed', '{}')`)
  await project()
  expect(await seqs()).toEqual([996, 997, 998, 999])
  await project()
  expect(await seqs()).toEqual([997, 998, 999, 1000])
  const later = (minutes: number) => new Date(Date.parse(post!.at) + minutes * 60_000).toISOString()
  await project(later(59))
  expect(await seqs()).toEqual([997, 998, 999, 1000, 1001])
  await project(later(60))
  expect(await seqs()).toEqual([998, 999, 1000, 1001, 1002])
})
