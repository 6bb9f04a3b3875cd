import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import { Changes } from '../../src/kernel/projecting/changes.ts'
import { Kept } from '../../src/kernel/projecting/kept.ts'
import { anyRow, noteChanges } from '../../src/kernel/projecting/notes.ts'
import { sql } from '../../src/kernel/sql.ts'
import {
  added,
  change,
  changes,
  keepAnew,
  kernel,
  load,
  loads,
  model,
  nextPosition,
  owner,
  pairs,
  peeked,
  type Word,
  whileLoading,
  withWords,
  words,
  wordsOf,
} from '../support/words.ts'

withWords()

it('reads a row once, and anew after it was changed', async () => {
  const [one, two] = [await added('one'), await added('two')]
  expect(await wordsOf(one, two)).toEqual(['one', 'two'])
  expect(await wordsOf(two, one)).toEqual(['two', 'one'])
  expect(loads).toEqual([[one, two]])
  await change(one, 'ONE')
  expect(await wordsOf(one, two)).toEqual(['ONE', 'two'])
  await change(one, null)
  expect(await wordsOf(one, two)).toEqual([undefined, 'two'])
  expect(loads).toEqual([[one, two], [one], [one]])
})

it('does not keep what was read while a change was noted', async () => {
  const one = await added('old')
  await wordsOf(await added('another'))
  whileLoading(async () => {
    await change(one, 'new')
    await wordsOf()
  })
  expect(await wordsOf(one)).toEqual(['old'])
  expect(await wordsOf(one)).toEqual(['new'])
})

it('keeps what was read while something else was changed', async () => {
  const [one, other] = [await added('one'), await added('other')]
  await wordsOf(other)
  whileLoading(async () => {
    await change(other, 'changed')
    await wordsOf()
  })
  expect(await wordsOf(one)).toEqual(['one'])
  expect(peeked(one, other)).toMatchObject([{ word: 'one' }])
})

it('does not keep what was read while its owner went', async () => {
  const one = await added('one')
  await wordsOf(await added('another'))
  whileLoading(async () => {
    await change(owner, null, { key: owner, owner: true })
    await wordsOf()
  })
  expect(await wordsOf(one)).toEqual(['one'])
  expect(await wordsOf(one)).toEqual([undefined])
})

it('keeps what was read before a change no longer than until the next question', async () => {
  const one = await added('old')
  await wordsOf()
  whileLoading(() => change(one, 'new'))
  expect(await wordsOf(one)).toEqual(['old'])
  expect(await wordsOf(one)).toEqual(['new'])
})

it('drops all rows of an owner who is gone', async () => {
  const [one, two] = [await added('one'), await added('two')]
  await wordsOf(one, two)
  await change(owner, null, { key: owner, owner: true })
  expect(peeked(one, two)).toHaveLength(2)
  expect(await wordsOf(one, two)).toEqual([undefined, undefined])
  expect(peeked(one, two)).toEqual([])
})

it('drops whose owner was gone once, whatever was noted of the owner since, in one batch or in two', async () => {
  for (const together of [true, false]) {
    const one = await added('one')
    await wordsOf(one)
    const [gone, later] = [true, false].map(gone => ({ key: owner, owner: gone, position: nextPosition() }))
    await kernel.db.transaction(async tx => {
      for (const notes of together ? [[gone!, later!]] : [[gone!], [later!]]) await noteChanges(tx, changes, notes)
    })
    await wordsOf()
    expect(peeked(one)).toEqual([])
    await kernel.db.run(sql`delete from ${changes}`)
  }
})

it('drops all where any row may have been changed', async () => {
  const one = await added('one')
  await wordsOf(one)
  await change(one, 'changed', { key: anyRow, owner: false })
  expect(await wordsOf(one)).toEqual(['changed'])
})

it('follows for each kind of rows of a model', async () => {
  const all = new Changes()
  const parts = { model, changes: all, most: 10, load }
  const [first, second] = [new Kept<Word>(parts), new Kept<Word>(parts)]
  const one = await added('one')
  for (const each of [first, second]) expect((await each.row(kernel.db, one))?.word).toBe('one')
  await change(one, 'two')
  const both = await Promise.all([first, second].map(each => each.row(kernel.db, one)))
  expect(both.map(row => row?.word)).toEqual(['two', 'two'])
})

it('begins anew where a rebuilt model was swapped in, and after more changes than it follows', async () => {
  const one = await added('drifted')
  expect(await wordsOf(one)).toEqual(['drifted'])
  await kernel.db.transaction(async tx => {
    await tx.run(sql`update ${words} set word = 'right' where id = ${one}::uuid`)
    await tx.run(sql`update kernel.consumers set fence = fence + 1 where key = ${model.key}`)
  })
  expect(await wordsOf(one)).toEqual(['right'])
  await kernel.db.transaction(async tx => {
    await tx.run(sql`update ${words} set word = 'last' where id = ${one}::uuid`)
    const noted = Array.from({ length: 1_500 }, () => ({ key: randomUUID(), owner: false, position: nextPosition() }))
    await noteChanges(tx, changes, [...noted, { key: one, owner: false, position: nextPosition() }])
  })
  expect(await wordsOf(one)).toEqual(['last'])
})

it('answers and does not keep what is not whole, and keeps no more rows than it may', async () => {
  keepAnew(({ word }) => word !== 'half')
  const half = await added('half')
  const others: string[] = []
  for (let n = 0; n < 12; n++) others.push(await added(String(n)))
  expect(await wordsOf(half, ...others)).toEqual(['half', ...Array.from({ length: 12 }, (_, n) => String(n))])
  expect(peeked(half, ...others)).toHaveLength(10)
  expect(peeked(half)).toEqual([])
})

it('asks once how one stands to others, and anew after a change of the one', async () => {
  const { asked, of } = pairs()
  const [one, stranger] = [await added('one'), randomUUID()]
  expect(await of(owner, one, stranger, one)).toEqual(['one', 'none', 'one'])
  expect(await of(owner, stranger, one)).toEqual(['none', 'one'])
  expect(asked).toEqual([[one, stranger]])
  await change(one, 'changed', { key: owner, owner: false })
  expect(await of(owner, one)).toEqual(['changed'])
  await change(stranger, null, { key: stranger, owner: false })
  expect(await of(owner, one)).toEqual(['changed'])
  expect(asked).toEqual([[one, stranger], [one]])
})

it('forgets of all how they stand to who is gone, and everything where any may have been changed', async () => {
  for (const key of ['the other', anyRow]) {
    const { asked, of } = pairs()
    const [one, other] = [await added('one'), await added('other')]
    expect(await of(owner, one, other)).toEqual(['one', 'other'])
    await change(other, null, key === anyRow ? { key, owner: false } : { key: other, owner: true })
    expect(await of(owner, one, other)).toEqual(['one', 'none'])
    expect(asked.at(-1)).toEqual(key === anyRow ? [one, other] : [other])
  }
})

it('does not keep how one stands to others where that was changed while it was read', async () => {
  for (const gone of [false, true]) {
    let first = true
    const one = await added('old')
    const { asked, of } = pairs({
      async meanwhile() {
        if (!first) return
        first = false
        await change(one, gone ? null : 'new', gone ? { key: one, owner: true } : { key: owner, owner: false })
        await of(randomUUID())
      },
    })
    expect(await of(owner, one)).toEqual(['old'])
    expect(await of(owner, one)).toEqual([gone ? 'none' : 'new'])
    expect(asked).toEqual([[one], [one]])
  }
})

it('asks nothing about what is known, and keeps no more pairs than it may', async () => {
  const { asked, of } = pairs({ known: other => (other.startsWith('0') ? 'known' : undefined) })
  expect(await of(owner, '0')).toEqual(['known'])
  expect(asked).toEqual([])
  const many = Array.from({ length: 300 }, () => `1${randomUUID().slice(1)}`)
  for (let n = 0; n < 2; n++) await of(owner, ...many)
  expect(asked.map(({ length }) => length)).toEqual([300])
  for (let n = 0; n < 3; n++) await of(randomUUID(), ...many)
  await of(owner, many[0]!)
  expect(asked).toHaveLength(5)
})
