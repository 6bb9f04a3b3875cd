import { describe, expect, it } from 'vitest'
import { fillPage } from '../../src/reading/page.ts'

/** A list of positions from `last` down to 1, of which only some may be seen; what was asked for is noted. */
function listOf(last: number, seen: (position: number) => boolean) {
  const asked: number[] = []
  const page = (limit: number, after: number | null = null) =>
    fillPage({
      limit,
      after,
      fetch: async (after, n) => {
        asked.push(n)
        const from = (after ?? last + 1) - 1
        return Array.from({ length: Math.min(n, from) }, (_, i) => ({ id: String(from - i), position: from - i }))
      },
      hydrate: async keys => new Map(keys.filter(({ position }) => seen(position)).map(({ id }) => [id, `item ${id}`])),
    })
  return { asked, page }
}

describe('a page', () => {
  it('takes one statement where all may be seen', async () => {
    const { asked, page } = listOf(9, () => true)
    expect(await page(2)).toEqual({ items: ['item 9', 'item 8'], next: 8 })
    expect(asked).toEqual([3])
  })

  it('is the last one where nothing more may be seen, whatever is hidden behind it', async () => {
    expect(await listOf(9, position => position > 7).page(2)).toEqual({ items: ['item 9', 'item 8'], next: null })
    expect(await listOf(2, () => true).page(2)).toEqual({ items: ['item 2', 'item 1'], next: null })
    expect(await listOf(0, () => true).page(2)).toEqual({ items: [], next: null })
    expect(await listOf(500, () => false).page(2)).toEqual({ items: [], next: null })
  })

  it('is filled again where the rules emptied it', async () => {
    const { page } = listOf(40, position => position % 10 === 0)
    expect(await page(3)).toEqual({ items: ['item 40', 'item 30', 'item 20'], next: 20 })
    expect(await page(3, 20)).toEqual({ items: ['item 10'], next: null })
  })

  it('gives up after very many hidden rows, and goes on from there', async () => {
    const { asked, page } = listOf(5_000, position => position <= 2)
    let { items, next } = await page(20)
    expect(items).toEqual([])
    expect(Math.max(...asked)).toBeLessThanOrEqual(200)
    while (next !== null && items.length === 0) ({ items, next } = await page(20, next))
    expect(items).toEqual(['item 2', 'item 1'])
  })
})
