import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Member, shareOut } from '../../src/kernel/projecting/sharing.ts'

const keys = (n: number): string[] => Array.from({ length: n }, (_, index) => `model_${String(index).padStart(2, '0')}`)
const free = (all: readonly string[]) => all.map(key => ({ key, holder: null }))
const member = (holder: string, wants: readonly string[]): Member => ({ holder, wants: new Set(wants) })

function loads(shares: ReadonlyMap<string, string>): Record<string, number> {
  const count: Record<string, number> = {}
  for (const holder of shares.values()) count[holder] = (count[holder] ?? 0) + 1
  return count
}

it('gives everything to one who is alone, halves it with a second, and moves no more than it must', () => {
  const all = keys(7)
  const one = shareOut(free(all), [member('a', all)])
  expect(loads(one)).toEqual({ a: 7 })
  const held = all.map(key => ({ key, holder: 'a' }))
  const two = shareOut(held, [member('a', all), member('b', all)])
  expect(loads(two)).toEqual({ a: 4, b: 3 })
  const left = shareOut(
    all.map(key => ({ key, holder: two.get(key)! })),
    [member('b', all)],
  )
  expect(loads(left)).toEqual({ b: 7 })
})

it('gives each role its own, and who does all takes less of what others do too', () => {
  const [models, reactions] = [keys(12), ['reaction_a', 'reaction_b', 'reaction_c']]
  const roles = [member('p1', models), member('p2', models), member('r1', reactions), member('r2', reactions)]
  expect(loads(shareOut(free([...models, ...reactions]), roles))).toEqual({ p1: 6, p2: 6, r1: 2, r2: 1 })
  const mixed = [member('all', [...models, ...reactions]), member('p', models)]
  const held = [...models, ...reactions].map(key => ({ key, holder: 'all' }))
  expect(loads(shareOut(held, mixed))).toEqual({ all: 9, p: 6 })
})

it('leaves nothing without a process that could do it, never asks one that cannot, and stands once it is so', () => {
  const some = fc.subarray(keys(9))
  const holders = ['a', 'b', 'c', 'd']
  const held = fc.array(fc.option(fc.constantFrom(...holders, 'gone')), { minLength: 9, maxLength: 9 })
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...holders), some), held, (wants, before) => {
      const members = Object.entries(wants).map(([holder, those]) => member(holder, those))
      const now = keys(9).map((key, index) => ({ key, holder: before[index]! }))
      const shares = shareOut(now, members)
      for (const key of keys(9)) {
        const candidates = members.filter(({ wants }) => wants.has(key)).map(({ holder }) => holder)
        if (candidates.length === 0) expect(shares.has(key)).toBe(false)
        else expect(candidates).toContain(shares.get(key))
      }
      // Handing over ends: where all has moved as it was said, nothing moves any more.
      let at = shares
      for (let round = 0; round < 3; round++)
        at = shareOut(
          keys(9).map(key => ({ key, holder: at.get(key) ?? null })),
          members,
        )
      const again = shareOut(
        keys(9).map(key => ({ key, holder: at.get(key) ?? null })),
        members,
      )
      expect([...again].sort()).toEqual([...at].sort())
    }),
    { numRuns: 500 },
  )
})
