import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ReadModel } from '../../src/kernel/projecting/model.ts'
import { sql } from '../../src/kernel/sql.ts'
import { postsModel } from '../../src/projections/posts/project.ts'
import { relationshipsModel } from '../../src/projections/relationships/project.ts'
import { type Person, type TestApp, testApp } from '../support/app.ts'

let careful: TestApp
let careless: TestApp
let reader: TestApp

beforeAll(async () => {
  careful = await testApp()
  const deployment = { databaseUrl: careful.databaseUrl, mediaDir: careful.mediaDir, secret: careful.secret }
  reader = await testApp(deployment)
  // The guard switched off: acknowledges before what the rules read has the command's effect.
  careless = await testApp({ ...deployment, around: { commands: parts => ({ ...parts, settled: async () => {} }) } })
})
afterAll(async () => {
  await careless.stop()
  await reader.stop()
  await careful.stop()
})

/** A node's view of a person's read, without any consistency token. */
const statusAt = async (node: TestApp, person: Person, path: string): Promise<number> =>
  (await node.send('GET', path, { headers: { Authorization: `Bearer ${person.session.accessToken}` } })).status

/** Holds a model's projector back while `work` runs. */
async function whileModelStands(work: () => Promise<void>, model: ReadModel = relationshipsModel): Promise<void> {
  await careful.app.db.transaction(async tx => {
    await tx.run(sql`select key from kernel.consumers where key = ${model.key} for update`)
    await work()
  })
}

async function people(name: string): Promise<{ author: Person; reads: Person; postId: string }> {
  const author = await careful.signUp(`${name}_author`)
  const reads = await careful.signUp(`${name}_reader`)
  await reads.follow(author)
  return { author, reads, postId: (await author.publish()).id }
}

it('a block is acknowledged only when no node shows anything any more; while the model stands still it is 503, and a repeat finishes it', {
  timeout: 60_000,
}, async () => {
  const { author, reads, postId } = await people('careful')
  await whileModelStands(async () => {
    const answer = await author.put(`/accounts/${reads.id}/block`)
    expect(answer.status).toBe(503)
    expect(answer.body.code).toBe('read_model_behind')
    expect(answer.headers.get('retry-after')).toBe('1')
    expect(await statusAt(reader, reads, `/posts/${postId}`)).toBe(200)
  })
  expect((await author.put(`/accounts/${reads.id}/block`)).status).toBe(200)
  expect(await statusAt(reader, reads, `/posts/${postId}`)).toBe(404)
})

it('an edit that narrows the audience at the revision that was seen is 503 while the model stands still, and its repeat finishes it', {
  timeout: 60_000,
}, async () => {
  const { author, reads, postId } = await people('edits')
  const headers = { 'If-Match': (await author.get(`/posts/${postId}`)).headers.get('etag')! }
  const edit = (audience: string) => author.patch(`/posts/${postId}`, { audience }, { headers })
  await whileModelStands(async () => expect((await edit('close_friends')).status).toBe(503), postsModel)
  expect(await edit('close_friends')).toMatchObject({ status: 200, body: { audience: 'close_friends' } })
  expect(await statusAt(reader, reads, `/posts/${postId}`)).toBe(404)
  expect((await edit('followers')).status).toBe(412)
})

it('would see it: a node that does not wait acknowledges a block, and another still shows the post', {
  timeout: 60_000,
}, async () => {
  const { author, reads, postId } = await people('careless')
  await whileModelStands(async () => {
    const answer = await careless.send('PUT', `/accounts/${reads.id}/block`, {
      headers: { Authorization: `Bearer ${author.session.accessToken}` },
    })
    expect(answer.status).toBe(200)
    expect(await statusAt(reader, reads, `/posts/${postId}`)).toBe(200)
  })
})

it('who follows on a fact that was true a moment ago asks instead, once the account has gone private', {
  timeout: 60_000,
}, async () => {
  const author = await careful.signUp('turns_private')
  const [early, late] = [await careful.signUp('early_bird'), await careful.signUp('late_comer')]
  await early.follow(author)
  let before: (() => Promise<unknown>) | null = null
  const deployment = { databaseUrl: careful.databaseUrl, mediaDir: careful.mediaDir, secret: careful.secret }
  // Between the fact and the decision, the account goes private on another node.
  const slow = await testApp({
    ...deployment,
    around: {
      commands: parts => ({
        ...parts,
        async execute(decider, stream, command, actor, options) {
          if ((command as { type?: unknown }).type === 'Follow') await before?.()
          return parts.execute(decider, stream, command, actor, options)
        },
      }),
    },
  })
  try {
    before = async () => expect((await author.put('/me/account-type', { type: 'private' })).status).toBe(200)
    const answer = await slow.send('PUT', `/accounts/${author.id}/follow`, {
      headers: { Authorization: `Bearer ${late.session.accessToken}` },
    })
    expect(answer).toMatchObject({
      status: 200,
      body: { state: 'requested', viewer: { follows: false, requested: true }, counts: { followers: 1 } },
    })
    expect(
      (await author.get('/me/follow-requests', { after: answer.token })).body.items.map(({ id }: { id: string }) => id),
    ).toEqual([late.id])
    expect((await early.get(`/accounts/${author.id}`)).body.viewer.follows).toBe(true)
  } finally {
    await slow.stop()
  }
})
