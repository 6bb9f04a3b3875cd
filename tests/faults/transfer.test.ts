import { randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { verify } from '../../src/kernel/projecting/verify.ts'
import { readModels } from '../../src/projections/models.ts'
import { type TestApp, testApp } from '../support/app.ts'
import { freshDatabase } from '../support/database.ts'
import { environmentOf } from '../support/engines.ts'
import { listenLive } from '../support/live.ts'
import { eventsBehind } from '../support/log.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { startTool, type Told } from '../support/tool.ts'

let from: TestApp
let folder: string
let target: Awaited<ReturnType<typeof freshDatabase>>

beforeAll(async () => {
  from = await testApp()
  folder = await temporaryFolder()
  target = await freshDatabase()
})
afterAll(async () => {
  await from.stop()
  await target.drop()
  await rm(folder, { recursive: true, force: true })
})

const darkroom = (databaseUrl: string, ...args: string[]): Promise<Told> => under({ SECRET: from.secret }, databaseUrl, ...args)
const under = (secrets: Record<string, string>, databaseUrl: string, ...args: string[]): Promise<Told> =>
  startTool({ ...environmentOf(databaseUrl), ...secrets, DATA_DIR: folder }, ...args).done

/** All of its log, without the positions. */
const eventsOf = async ({ app: { store } }: TestApp): Promise<object[]> =>
  (await eventsBehind(store, 0)).map(({ position, ...event }) => event)

it('moves a network: log and keys out, into an empty log, as it was but of a new epoch', { timeout: 120_000 }, async () => {
  const ada = await from.signUp('ada', { email: 'shared@example.org' })
  const bob = await from.signUp('bob', { email: 'shared@example.org' })
  const gone = await from.signUp('gone.with.the.wind')
  await bob.follow(ada)
  const post = await ada.publish({ caption: 'moved with me' })
  await bob.put(`/posts/${post.id}/like`, undefined, { after: ada.token })
  await bob.post(`/posts/${post.id}/comments`, { text: 'safe travels' })
  await gone.post('/me/erasure')
  const lives = await listenLive(from, bob)
  await ada.publish({ caption: 'last one here' })
  await lives.next('feed.post')
  const { lastEventId } = lives
  lives.end()
  await expect.poll(async () => (await from.get('/dev/outbox')).body.items.length).toBe(1)

  const [log, keys] = [join(folder, 'log.ndjson'), join(folder, 'keys.ndjson')]
  expect(await darkroom(from.databaseUrl, 'export-log', log, keys)).toMatchObject({ code: 0 })
  const text = await readFile(log, 'utf8')
  for (const word of ['moved with me', 'safe travels', 'example.org', 'gone.with.the.wind']) expect(text).not.toContain(word)
  // Nothing is overwritten, and nothing goes into a log that is not empty.
  expect((await darkroom(from.databaseUrl, 'export-log', log)).output).toContain('name a file that is not there yet')
  expect((await darkroom(from.databaseUrl, 'import-log', log, keys)).output).toContain('The log is not empty')

  // Into a deployment that has another SECRET, which nothing opens under without the one of then.
  const secret = randomBytes(32).toString('base64url')
  expect(await under({ SECRET: secret }, target.url, 'import-log', log, keys)).toMatchObject({
    code: 1,
    output: expect.stringContaining('SECRET is not the one'),
  })
  const imported = await under({ SECRET: secret, SECRET_PREVIOUS: from.secret }, target.url, 'import-log', log, keys)
  expect(imported.code, imported.output).toBe(0)
  expect(imported.output).toMatch(new RegExp(`^${text.trim().split('\n').length} events$`, 'm'))

  const to = await testApp({ databaseUrl: target.url, mediaDir: from.mediaDir, secret, config: { secretPrevious: from.secret } })
  try {
    expect(await eventsOf(to)).toEqual(await eventsOf(from))
    const headers = { Authorization: `Bearer ${bob.session.accessToken}` }
    expect((await to.get('/feed', { headers })).body.items.map(({ caption }: { caption: string }) => caption)).toEqual([
      'last one here',
      'moved with me',
    ])
    expect((await to.get(`/posts/${post.id}`, { headers })).body.counts).toMatchObject({ likes: 1, comments: 1 })
    expect((await to.get('/accounts/gone.with.the.wind', { headers })).status).toBe(404)
    const stale = await to.get('/feed', { headers, after: bob.token })
    expect(stale).toMatchObject({ status: 409, body: { code: 'consistency_token_expired' } })
    const again = await listenLive(to, bob, lastEventId)
    expect(again.messages[0]?.type).toBe('resync')
    again.end()
    // What was done is not done again.
    expect((await to.get('/dev/outbox')).body.items).toEqual([])
    for (const model of readModels) expect(await verify(to.app, model), model.name).toMatchObject({ differences: [], more: 0 })
  } finally {
    await to.stop()
  }
})

it('says which line of a file is no export, and leaves the log empty before it', { timeout: 60_000 }, async () => {
  const empty = await freshDatabase()
  const file = join(folder, 'broken.ndjson')
  for (const [content, said] of [
    ['{"stream":"account-1"', 'line 1: this is no JSON'],
    ['{"stream":"account-1","revision":-1}', 'line 1'],
    ['\n{}', 'line 2'],
  ] as const) {
    await writeFile(file, content)
    const answer = await darkroom(empty.url, 'import-log', file)
    expect(answer.code).toBe(1)
    expect(answer.output).toContain(said)
  }
  await empty.drop()
})
