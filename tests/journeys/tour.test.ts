import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type TestApp, testApp } from '../support/app.ts'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

/** What a reader pastes, in its order. */
const tour = readme
  .split(/^## /m)
  .find(section => section.startsWith('A five-minute tour'))!
  .matchAll(/^```sh\n([\s\S]*?)^```$/gm)
const pasted = [...tour].map(([, block]) => block!)

let app: TestApp
beforeAll(async () => {
  app = await testApp()
})
afterAll(() => app.stop())

/** Waits for what the live stream is about to tell; the stream goes to a file, so that answers and messages do not mix. */
const until = (text: string): string => `until grep -qs '${text}' $tour/live; do sleep 0.05; done`

it('the tour of the README works when pasted', async () => {
  const { port } = await app.listen()
  const script = pasted
    .join('\n')
    .replaceAll('http://127.0.0.1:3000', `http://127.0.0.1:${port}`)
    .replace('& live=$!', `> $tour/live & live=$!\n${until('^id:')}`)
    .replace('kill $live', `${until('feed.removed')}; kill $live`)
  expect(script.match(/until grep/g)).toHaveLength(2)
  const run = promisify(execFile)('bash', ['--norc', '-euo', 'pipefail', '-c', `${script}\ncat $tour/live`], { timeout: 25_000 })
  const { stdout, stderr } = await run
  expect(stderr).toBe('')
  const [answers, operator, live] = stdout.split(/^(\[\n(?: {2}'\w+: \w+, lag \d+',?\n)+\]\n\{"items":\[\]\})/m)
  expect(answers?.trim()).toBe(`following
Evening, @ben #sunset
{ likes: 1, comments: 0 }
What a light!
{ likes: 1, comments: 1 }
[ 'comment', 'like', 'follow' ]
true
404`)
  expect(operator).toContain("'accounts: running")
  const told = [...live!.matchAll(/^data: (.*)$/gm)].map(([, text]) => (JSON.parse(text!) as { type: string }).type)
  expect(told).toEqual(['feed.post', 'notification.created', 'feed.removed'])
})
