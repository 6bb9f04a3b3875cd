import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type TestApp, testApp } from '../support/app.ts'
import { oracle, wantedOf } from './oracle.ts'
import { openPaths, probes, seenBy } from './probes.ts'
import { buildWorld, type World } from './world.ts'

let app: TestApp
let other: TestApp
beforeAll(async () => {
  app = await testApp()
  other = await testApp(app)
})
afterAll(async () => {
  await other.stop()
  await app.stop()
})

it('knows every GET of the API, and no other', async () => {
  const { paths } = (await app.get('/openapi.json')).body as { paths: Record<string, object> }
  const gets = Object.keys(paths).filter(path => 'get' in paths[path]!)
  expect([...Object.keys(probes), ...Object.keys(openPaths)].sort()).toEqual(gets.sort())
})

describe.each(['personal', 'private'] as const)('of a %s account', type => {
  let world: World
  beforeAll(async () => {
    world = await buildWorld(
      app,
      type,
      oracle[type].map(({ viewer }) => viewer),
    )
  }, 120_000)

  it.each(oracle[type].map(row => [row.viewer, row] as const))('%s', async (name, row) => {
    const first = world.eyes.get(name)!
    // On the node that keeps what it showed to the others before, and on one that begins with nothing and then keeps what it showed.
    for (const eye of [first, first.at(other), first.at(other)]) {
      expect(await seenBy(eye, world.things)).toEqual(wantedOf(row, world.things))
      const told = eye.told()
      for (const [index, thing] of world.things.entries()) {
        if (row.posts[index] !== 'y') for (const secret of thing.secrets) expect(told).not.toContain(secret)
        if (!row.profile) for (const secret of [thing.author.id, thing.author.username]) expect(told).not.toContain(secret)
      }
    }
  })
})
