import { randomUUID } from 'node:crypto'
import { expect, it, vi } from 'vitest'
import { Changes } from '../../src/kernel/projecting/changes.ts'
import { asOfOne, Kept } from '../../src/kernel/projecting/kept.ts'
import { noteChanges } from '../../src/kernel/projecting/notes.ts'
import { OneRequest, sql } from '../../src/kernel/sql.ts'
import {
  added,
  change,
  changed,
  changes,
  kept,
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

it('answers what belongs together as of one question, whenever it is changed, also where it cannot be kept', async () => {
  for (const when of ['before it reads', 'after it has read']) {
    for (const isWhole of [() => true, () => false]) {
      const all = new Changes()
      const [one, two] = [await added('old'), await added('old')]
      const both = () =>
        kernel.db.transaction(async tx => {
          await tx.run(sql`update ${words} set word = 'new' where id in (${one}::uuid, ${two}::uuid)`)
          await noteChanges(
            tx,
            changes,
            [one, two].map(key => ({ key, owner: false, position: nextPosition() })),
          )
        })
      let first = true
      const meanwhile = async (now: string) => {
        if (now !== when || !first) return
        first = false
        await both()
      }
      const warm = new Kept<Word>({ model, changes: all, most: 10, load })
      const cold = new Kept<Word>({
        ...{ model, changes: all, most: 10, isWhole },
        async load(db, parameters) {
          await meanwhile('before it reads')
          const found = await load(db, parameters)
          await meanwhile('after it has read')
          return found
        },
      })
      await warm.row(kernel.db, one)
      const [ofOne, ofTwo] = [warm.look(), cold.look()]
      const found = await asOfOne(all, kernel.db, [ofOne, ofTwo], () => [ofOne.get(one)?.word, ofTwo.get(two)?.word])
      expect(found, when).toEqual(['new', 'new'])
    }
  }
})

it('answers what is not there as such, and what changes each time in one snapshot, with what was kept until then', async () => {
  const all = new Changes()
  const [one, two] = [await added('one'), await added('two')]
  let loads = 0
  let steady = true
  const kept = new Kept<Word>({
    ...{ model, changes: all, most: 10 },
    async load(db, parameters) {
      loads++
      if (!steady) await change(one, `the ${loads}th`)
      const found = await load(db, parameters)
      if (!steady) await change(one, 'another')
      if (loads === 5) await change(two, 'too')
      return found
    },
  })
  const looked = () => {
    const look = kept.look()
    return asOfOne(all, kernel.db, [look], () => [one, two, owner].map(id => look.get(id)?.word))
  }
  expect(await looked()).toEqual(['one', 'two', undefined])
  steady = false
  await change(one, 'another')
  expect(await looked()).toEqual(['the 6th', 'too', undefined])
  expect(loads).toBe(6)
  expect(kept.peek(one)).toBeUndefined()
  steady = true
  expect(await looked()).toEqual(['another', 'too', undefined])
})

it('keeps what was read while something was noted that drops nothing that is kept', async () => {
  const one = await added('one')
  await wordsOf(await added('another'))
  whileLoading(async () => {
    await change(one, 'one', { key: owner, owner: false })
    await wordsOf()
  })
  await wordsOf(one)
  expect(peeked(one)).toHaveLength(1)
  let noted = false
  const { asked, of } = pairs({
    async meanwhile() {
      if (noted) return
      noted = true
      await change(one, 'one', { key: one, owner: false })
      await of(randomUUID())
    },
  })
  await of(owner, one)
  await of(owner, one)
  expect(asked.slice(0, 1)).toEqual([[one]])
  expect(asked.flat().filter(id => id === one)).toHaveLength(1)
})

it('asks twice for a row that is not kept: what has changed, and whether that has while it was read', async () => {
  const one = await added('one')
  await wordsOf(await added('another'))
  let questions = 0
  const counting = {
    ...kernel.db,
    runCompiled(name: string, text: string, values: readonly unknown[]) {
      questions++
      return kernel.db.runCompiled<never>(name, text, values)
    },
  }
  expect((await kept.row(counting, one))?.word).toBe('one')
  expect(questions).toBe(2)
  expect((await kept.row(counting, one))?.word).toBe('one')
  expect(questions).toBe(3)
})

it('follows changes once for a request, and anew once it has read anything, while it reads, and when it is over', async () => {
  const one = await added('one')
  await wordsOf(one)
  let questions = 0
  const request = new OneRequest({
    ...kernel.db,
    runCompiled(name, text, values) {
      questions++
      return kernel.db.runCompiled(name, text, values)
    },
  })
  const word = async () => (await kept.row(request, one))?.word
  expect(await Promise.all([word(), word()])).toEqual(['one', 'one'])
  await change(one, 'two')
  // As of its own question, which was before.
  expect([await word(), questions]).toEqual(['one', 1])
  await request.run(sql`select 1`)
  // What it finds changed it reads, and asks whether that changed meanwhile.
  expect([await word(), await word(), questions]).toEqual(['two', 'two', 3])
  await change(one, 'three')
  const { promise: held, resolve: end } = Promise.withResolvers<void>()
  const reading = request.transaction(() => held)
  expect([await word(), questions]).toEqual(['three', 5])
  end()
  await reading
  await word()
  expect(questions).toBe(6)
  await word()
  expect(questions).toBe(6)
  request.end()
  for (let n = 7; n < 9; n++) {
    await word()
    expect(questions).toBe(n)
  }
})

it('follows changes anew for a request that has waited for something, and for one that has taken long', async () => {
  const one = await added('one')
  await wordsOf(one)
  const request = new OneRequest(kernel.db)
  const word = async () => (await kept.row(request, one))?.word
  expect(await word()).toBe('one')
  await change(one, 'two')
  expect(await word()).toBe('one')
  request.anew()
  expect([await word(), await word()]).toEqual(['two', 'two'])
  await change(one, 'three')
  expect(await word()).toBe('two')
  const began = performance.now()
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => began + 60_000)
  try {
    expect(await word()).toBe('three')
  } finally {
    clock.mockRestore()
  }
})

it('asks for a request together with others', async () => {
  const ids = [await added('one'), await added('two')]
  let statements = 0
  const pool = {
    ...kernel.db,
    runArrays(name: string, text: string, values: readonly unknown[]) {
      statements++
      return kernel.db.runArrays(name, text, values)
    },
  }
  const found = await Promise.all(ids.map(id => load(new OneRequest(pool), { ids: [id] })))
  expect(found.flat().map(({ word }) => word)).toEqual(['one', 'two'])
  expect(statements).toBe(1)
})

it('does not take for followed what a request could not ask', async () => {
  const one = await added('one')
  await wordsOf(one)
  let away = true
  const request = new OneRequest({
    ...kernel.db,
    runCompiled: (...args) => (away ? Promise.reject(new Error('away')) : kernel.db.runCompiled(...args)),
  })
  await expect(kept.row(request, one)).rejects.toThrow('away')
  away = false
  await change(one, 'two')
  expect((await kept.row(request, one))?.word).toBe('two')
})

it('keeps what was read no sooner than changes are followed: beside it others are as of before', async () => {
  const one = await added('one')
  await wordsOf(await added('another'))
  let questions = 0
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>()
  const db = {
    ...kernel.db,
    async runCompiled<Row>(name: string, text: string, values: readonly unknown[]): Promise<Row[]> {
      if (++questions === 2) await asked
      return kernel.db.runCompiled<Row>(name, text, values)
    },
  }
  const word = kept.row(db, one)
  await vi.waitFor(() => expect(questions).toBe(2))
  expect(peeked(one)).toEqual([])
  ask()
  expect((await word)?.word).toBe('one')
  expect(peeked(one)).toHaveLength(1)
})

it('keeps nothing of a look that ended while it read', async () => {
  const one = await added('old')
  await wordsOf(await added('another'))
  const { promise: reading, resolve: read } = Promise.withResolvers<void>()
  const { promise: answer, resolve: answered } = Promise.withResolvers<void>()
  whileLoading(async () => {
    read()
    await answer
  })
  const failing = new Kept<Word>({
    ...{ model, changes: changed, most: 10 },
    async load() {
      await reading
      throw new Error('away')
    },
  })
  const looks = [kept.look(), failing.look()] as const
  await expect(asOfOne(changed, kernel.db, looks, () => looks.map(look => look.get(one)))).rejects.toThrow('away')
  await change(one, 'new')
  await wordsOf()
  answered()
  expect(await wordsOf(one)).toEqual(['new'])
})

it('answers each once: what was found stays found, though all of it is dropped while the rest is read', async () => {
  const ids = [await added('one'), await added('two'), await added('three')]
  await wordsOf(...ids)
  const late = await added('late')
  whileLoading(async () => {
    for (const id of ids) await change(id, 'changed')
    await wordsOf()
    expect(peeked(...ids)).toEqual([])
  })
  expect(await wordsOf(...ids, late)).toEqual(['one', 'two', 'three', 'late'])
  expect(loads.map(({ length }) => length)).toEqual([3, 1])
})
