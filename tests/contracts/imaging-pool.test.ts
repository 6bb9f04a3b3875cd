import { afterEach, describe, expect, test } from 'vitest'
import { type Pool, type PoolOptions, workerPool } from '../../src/adapters/media/pool.ts'
import type { Picture } from '../../src/kernel/ports/imaging.ts'

const pools: Pool[] = []
afterEach(async () => {
  await Promise.all(pools.splice(0).map(pool => pool.close()))
})

function start(options: PoolOptions = {}, module = './imaging-worker.ts'): (order: string) => Promise<Picture> {
  const pool = workerPool(new URL(module, import.meta.url), { workers: 1, ...options })
  pools.push(pool)
  return order => pool.run({ bytes: Buffer.from(order), format: 'png' })
}
/** The process that answered: the test worker says it as the width. */
const pidOf = async (answer: Promise<Picture>): Promise<number> => (await answer).width
const ended = (pid: number): boolean => {
  try {
    return !process.kill(pid, 0)
  } catch {
    return true
  }
}

describe('a pool of workers', () => {
  test('uses one worker again and again', async () => {
    const run = start()
    expect(await pidOf(run('answer'))).toBe(await pidOf(run('answer')))
  })

  test('keeps a worker that refused or failed, and tells the two apart', async () => {
    const run = start()
    const pid = await pidOf(run('answer'))
    await expect(run('refuse')).rejects.toMatchObject({ code: 'media_unreadable', message: 'No picture.' })
    await expect(run('fail')).rejects.toThrow('Imaging failed: a fault of ours')
    await expect(run('fail')).rejects.not.toHaveProperty('code')
    expect(await pidOf(run('answer'))).toBe(pid)
  })

  test.each(['crash', 'leave'])('replaces a worker after %s; the jobs that wait do not notice', async order => {
    const run = start()
    const before = await pidOf(run('answer'))
    const [lost, ...kept] = await Promise.allSettled([run(order), run('answer'), run('answer')])
    expect(lost).toMatchObject({ status: 'rejected', reason: { code: 'media_unreadable' } })
    expect(kept.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
    expect(await pidOf(run('answer'))).not.toBe(before)
    expect(ended(before)).toBe(true)
  })

  test.each(['hang', 'spin'])('ends a worker that does nothing but %s', async order => {
    const run = start({ timeout: 1000 })
    const before = await pidOf(run('answer'))
    await expect(run(order)).rejects.toMatchObject({ code: 'media_unreadable', message: 'The picture takes too long to decode.' })
    await expect.poll(() => ended(before)).toBe(true)
  })

  test('replaces a worker that has grown', async () => {
    const run = start()
    const before = await pidOf(run('grow'))
    expect(await pidOf(run('answer'))).not.toBe(before)
  })

  test('ends a worker that is idle', async () => {
    const run = start({ idle: 0 })
    const before = await pidOf(run('answer'))
    await expect.poll(() => ended(before)).toBe(true)
    expect(await pidOf(run('answer'))).not.toBe(before)
  })

  test('says so when its workers cannot start: that is no fault of the picture', async () => {
    const run = start({}, './no-such-worker.ts')
    await expect(run('answer')).rejects.toThrow(/^The imaging worker does not start: exit code 1 .*Cannot find module/s)
    await expect(run('answer')).rejects.not.toHaveProperty('code')
  })

  test('refuses at once what would wait too long, by number and by bytes', async () => {
    for (const bound of [{ queue: 2 }, { queueBytes: 8 }]) {
      const run = start(bound)
      const accepted = ['hang', 'hang', 'hang'].map(order => run(order))
      const settled = Promise.allSettled(accepted)
      await expect(run('answer')).rejects.toMatchObject({ code: 'unavailable', status: 503, headers: { 'Retry-After': '5' } })
      await pools.at(-1)?.close()
      for (const result of await settled) expect(result).toMatchObject({ status: 'rejected', reason: { code: 'unavailable' } })
    }
  })

  test('close ends what runs and what waits, leaves no process, and can be repeated', async () => {
    const run = start()
    const pid = await pidOf(run('answer'))
    const settled = Promise.allSettled([run('hang'), run('answer')])
    const pool = pools.at(-1)!
    await Promise.all([pool.close(), pool.close()])
    expect(ended(pid)).toBe(true)
    for (const result of await settled) expect(result).toMatchObject({ status: 'rejected', reason: { code: 'unavailable' } })
    await expect(run('answer')).rejects.toMatchObject({ code: 'unavailable' })
    await pool.close()
  })

  test('a pool that never worked closes', async () => {
    start()
    await pools.at(-1)?.close()
  })
})
