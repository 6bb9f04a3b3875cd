import { expect, it } from 'vitest'
import { shared } from '../../src/kernel/bounded.ts'

it('does once what several ask in one turn, and again what is asked once it has begun', async () => {
  const share = shared<number>()
  const begun: number[] = []
  const ends: (() => void)[] = []
  const ask = (key: string) =>
    share(key, async () => {
      const nth = begun.push(begun.length)
      await new Promise<void>(resolve => ends.push(resolve))
      return nth
    })
  const first = [ask('one'), ask('one'), ask('another')]
  expect(begun).toEqual([])
  await expect.poll(() => begun.length).toBe(2)
  const late = ask('one')
  await expect.poll(() => begun.length).toBe(3)
  for (const end of ends) end()
  expect(await Promise.all([...first, late])).toEqual([1, 1, 2, 3])
})

it('fails for all who joined, and not for who comes after', async () => {
  const share = shared<string>()
  const failing = () => share('one', () => Promise.reject(new Error('away')))
  const both = await Promise.allSettled([failing(), failing()])
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(await share('one', async () => 'back')).toBe('back')
})
