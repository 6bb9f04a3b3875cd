import { expect, it, vi } from 'vitest'
import { type Part, Parts } from '../../src/kernel/parts.ts'

const part = (look: Part['look'], every = 0): Part => ({ name: 'nats', called: 'NATS', needed: false, every, look })
const states = async (parts: Parts) => (await parts.look()).map(({ away }) => away?.reason ?? 'up')

it('says why a part is away, and that it is back', async () => {
  const look = vi.fn(async (): Promise<void> => {})
  const parts = new Parts([part(look), part(async () => {})])
  expect(await states(parts)).toEqual(['up', 'up'])
  look.mockRejectedValueOnce(new Error('not connected'))
  expect(await states(parts)).toEqual(['not connected', 'up'])
  // Node's errors of several addresses say nothing themselves.
  look.mockRejectedValueOnce(new AggregateError([]))
  expect(await states(parts)).toEqual(['no connection', 'up'])
  expect(await states(parts)).toEqual(['up', 'up'])
})

it('waits for no part longer than it may, and does not ask again what has not answered yet', async () => {
  let answer = (): void => {}
  const look = vi.fn(() => new Promise<void>(resolve => (answer = resolve)))
  const parts = new Parts([part(look), part(async () => {})])
  expect(await states(parts)).toEqual(['no answer within 1500 ms', 'up'])
  const asked = states(parts)
  expect(look).toHaveBeenCalledTimes(1)
  answer()
  expect(await asked).toEqual(['up', 'up'])
})

it('a part that costs something is asked no oftener than it wants, and of many who ask at once, for one', async () => {
  const look = vi.fn(async (): Promise<void> => {})
  const parts = new Parts([part(look, 60_000)])
  await Promise.all([parts.look(), parts.look(), parts.look()])
  await parts.look()
  expect(look).toHaveBeenCalledTimes(1)
})
