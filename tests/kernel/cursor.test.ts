import fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { Cursors } from '../../src/kernel/cursor.ts'
import { Problem } from '../../src/kernel/problem.ts'
import { Secrets } from '../../src/kernel/secrets.ts'

const Key = v.strictTuple([v.string(), v.number()])
const cursors = new Cursors(new Secrets('a secret of this house'))

const refused = (read: () => unknown) => {
  try {
    read()
  } catch (error) {
    return error instanceof Problem && error.code === 'cursor_invalid'
  }
  return false
}

describe('a cursor', () => {
  it('gives back the key that it was made of', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.double({ noNaN: true, noDefaultInfinity: true }), (text, number) => {
        fc.pre(text.isWellFormed() && text.length < 100 && !Object.is(number, -0))
        const cursor = cursors.write('feed', [text, number])
        expect(cursor).toMatch(/^[\w-]+$/)
        expect(cursors.read('feed', Key, cursor)).toEqual([text, number])
      }),
    )
    expect(cursors.read('feed', Key, undefined)).toBeNull()
  })

  it('serves its own list only', () => {
    const cursor = cursors.write('posts of ada', ['a', 1])
    expect(refused(() => cursors.read('posts of bob', Key, cursor))).toBe(true)
  })

  it('of the previous secret serves, of another does not', () => {
    const cursor = cursors.write('feed', ['a', 1])
    expect(new Cursors(new Secrets('a new one', 'a secret of this house')).read('feed', Key, cursor)).toEqual(['a', 1])
    expect(refused(() => new Cursors(new Secrets('a new one')).read('feed', Key, cursor))).toBe(true)
  })

  it('of another order of the list is refused', () => {
    expect(refused(() => cursors.read('feed', v.strictTuple([v.number()]), cursors.write('feed', ['a', 1])))).toBe(true)
  })

  it('that was not given is refused, whatever it is', () => {
    const made = cursors.write('feed', ['a', 1])
    const altered = fc
      .tuple(fc.nat(made.length - 1), fc.string({ minLength: 1, maxLength: 1 }))
      .map(([at, by]) => made.slice(0, at) + by + made.slice(at + 1))
    const hostile = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.base64String(),
      fc.constant('A'.repeat(100_000)),
      fc.nat(made.length - 1).map(end => made.slice(0, end)),
      altered,
    )
    fc.assert(
      fc.property(
        hostile.filter(text => Buffer.from(text, 'base64url').compare(Buffer.from(made, 'base64url')) !== 0),
        text => refused(() => cursors.read('feed', Key, text)),
      ),
    )
  })
})

describe('a page', () => {
  it('has a next cursor only where there is more', () => {
    const keyOf = (row: number) => [String(row), row]
    expect(cursors.page('feed', [1, 2], 2, keyOf)).toEqual({ items: [1, 2], nextCursor: null })
    expect(cursors.page('feed', [], 2, keyOf)).toEqual({ items: [], nextCursor: null })
    const { items, nextCursor } = cursors.page('feed', [1, 2, 3], 2, keyOf)
    expect(items).toEqual([1, 2])
    expect(cursors.read('feed', Key, nextCursor ?? undefined)).toEqual(['2', 2])
  })
})
