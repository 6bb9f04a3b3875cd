import { afterEach, beforeEach, expect, it } from 'vitest'
import { sql } from '../../src/kernel/sql.ts'
import { TimerLoop, timer, timersModel } from '../../src/kernel/timers.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'

let kernel: TestKernel
beforeEach(async () => {
  kernel = await testKernel([timersModel([])])
})
afterEach(() => kernel.close())

const model = timersModel([])
const table = sql.table(`${model.key}.timers`)
const set = (name: string, key: string) =>
  kernel.db.run(sql`insert into ${table} (name, key, due) values (${name}, ${key}, '2026-05-04T09:30:00Z')`)
const left = async () => (await kernel.db.run<{ key: string }>(sql`select key from ${table} order by key`)).map(({ key }) => key)

function loopOf(fire: (key: string) => Promise<void>): TimerLoop {
  const known = timer()({ name: 'known', events: [], schedule: () => [], fire })
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  return new TimerLoop({ db: kernel.db, clock: { now: Date.now }, log, timers: [known], model })
}

it('fires what it knows, and leaves to a newer release what is of that', async () => {
  await set('known', 'one')
  await set('newer', 'two')
  const fired: string[] = []
  expect(await loopOf(async key => void fired.push(key)).tick()).toBe(1)
  expect(fired).toEqual(['one'])
  expect(await left()).toEqual(['two'])
})

it('ends after those that it has claimed, however many are due', async () => {
  for (let n = 0; n < 45; n++) await set('known', `timer ${n}`)
  let stopped: Promise<void> | undefined
  const loop = loopOf(async () => {
    stopped ??= loop.stop()
  })
  expect(await loop.tick()).toBe(20)
  await stopped
  expect(await left()).toHaveLength(25)
})
