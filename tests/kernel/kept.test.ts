import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { anyRow, Changes, changesTable, noteChanges } from '../../src/kernel/projecting/changes.ts'
import { asOfOne, Kept, KeptPairs, type Look } from '../../src/kernel/projecting/kept.ts'
import { readModel } from '../../src/kernel/projecting/model.ts'
import { type Db, grouped, OneRequest, sql } from '../../src/kernel/sql.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'

type Word = { id: string; owner: string; word: string }

const model = readModel<never>()({
  name: 'words',
  version: 1,
  events: [],
  tables: { words: { columns: 'id uuid primary key, owner uuid not null, word text not null' }, changes: changesTable },
  async project() {},
})
const { words, changes } = model.t

const load = grouped<{ ids: readonly string[] }, Word>(
  { ids: 'uuid[]' },
  p => sql`select * from ${words} where id = any(${p.ids})`,
)

let kernel: TestKernel
let kept: Kept<Word>
let changed: Changes
let loads: string[][]
/** Runs once, after the next load has read and before it answers. */
let meanwhile: (() => Promise<void>) | null

beforeAll(async () => {
  kernel = await testKernel([model])
  await kernel.db.run(sql`insert into kernel.consumers (key, checkpoint) values (${model.key}, 0) on conflict (key) do nothing`)
})
afterAll(() => kernel.close())
beforeEach(() => {
  loads = []
  meanwhile = null
  changed = new Changes()
  kept = keeping()
})

const keeping = (isWhole?: (row: Word) => boolean) =>
  new Kept<Word>({
    model,
    changes: changed,
    most: 10,
    async load(db, parameters) {
      loads.push([...parameters.ids])
      const found = await load(db, parameters)
      const then = meanwhile
      meanwhile = null
      await then?.()
      return found
    },
    ownersOf: ({ owner }) => [owner],
    ...(isWhole === undefined ? {} : { isWhole }),
  })

let position = 0
const owner = randomUUID()

async function added(word: string): Promise<string> {
  const id = randomUUID()
  await kernel.db.run(sql`insert into ${words} values (${id}::uuid, ${owner}::uuid, ${word})`)
  return id
}

const change = (id: string, word: string | null, note = { key: id, owner: false }): Promise<void> =>
  kernel.db.transaction(async (tx: Db) => {
    await tx.run(
      word === null
        ? sql`delete from ${words} where ${id}::uuid in (id, owner)`
        : sql`update ${words} set word = ${word} where id = ${id}::uuid`,
    )
    await noteChanges(tx, changes, [{ ...note, position: ++position }])
  })

const peeked = (...ids: string[]) => ids.flatMap(id => kept.peek(id) ?? [])

/** Each as it was read. */
async function each<Value>(of: Changes, look: Look<Value>, ids: readonly string[]): Promise<(Value | undefined)[]> {
  const found = new Map<string, Value | undefined>()
  const at = () => {
    for (const id of ids) found.set(id, found.get(id) ?? look.get(id))
  }
  await asOfOne(of, kernel.db, [], at, [look])
  return ids.map(id => found.get(id))
}

const wordsOf = async (...ids: string[]) => (await each(changed, kept.look(), ids)).map(row => row?.word)

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
  meanwhile = async () => {
    await change(one, 'new')
    await wordsOf()
  }
  expect(await wordsOf(one)).toEqual(['old'])
  expect(await wordsOf(one)).toEqual(['new'])
})

it('keeps what was read while something else was changed', async () => {
  const [one, other] = [await added('one'), await added('other')]
  await wordsOf(other)
  meanwhile = async () => {
    await change(other, 'changed')
    await wordsOf()
  }
  expect(await wordsOf(one)).toEqual(['one'])
  expect(peeked(one, other)).toMatchObject([{ word: 'one' }])
})

it('does not keep what was read while its owner went', async () => {
  const one = await added('one')
  await wordsOf(await added('another'))
  meanwhile = async () => {
    await change(owner, null, { key: owner, owner: true })
    await wordsOf()
  }
  expect(await wordsOf(one)).toEqual(['one'])
  expect(await wordsOf(one)).toEqual([undefined])
})

it('keeps what was read before a change no longer than until the next question', async () => {
  const one = await added('old')
  await wordsOf()
  meanwhile = () => change(one, 'new')
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
    const [gone, later] = [true, false].map(gone => ({ key: owner, owner: gone, position: ++position }))
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
    const noted = Array.from({ length: 1_500 }, () => ({ key: randomUUID(), owner: false, position: ++position }))
    await noteChanges(tx, changes, [...noted, { key: one, owner: false, position: ++position }])
  })
  expect(await wordsOf(one)).toEqual(['last'])
})

it('answers and does not keep what is not whole, and keeps no more rows than it may', async () => {
  changed = new Changes()
  kept = keeping(({ word }) => word !== 'half')
  const half = await added('half')
  const others: string[] = []
  for (let n = 0; n < 12; n++) others.push(await added(String(n)))
  expect(await wordsOf(half, ...others)).toEqual(['half', ...Array.from({ length: 12 }, (_, n) => String(n))])
  expect(peeked(half, ...others)).toHaveLength(10)
  expect(peeked(half)).toEqual([])
})

/** The pairs of a one are the words that it owns. */
const pairs = (parts: { known?: (other: string) => string | undefined; meanwhile?: () => Promise<void> } = {}) => {
  const asked: string[][] = []
  const { known } = parts
  const changed = new Changes()
  const kept = new KeptPairs<string>({
    model,
    changes: changed,
    most: 1_000,
    none: 'none',
    async load(db, { one, others }) {
      asked.push([...others])
      const found = await db.run<Word>(sql`select * from ${words} where owner = ${one}::uuid and id = any(${others}::uuid[])`)
      await parts.meanwhile?.()
      return found.map(({ id, word }) => [id, word] as const)
    },
    ...(known === undefined ? {} : { known }),
  })
  const of = (one: string, ...others: string[]) => each(changed, kept.look(one), others)
  return { asked, of }
}

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
            [one, two].map(key => ({ key, owner: false, position: ++position })),
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
  meanwhile = async () => {
    await change(one, 'one', { key: owner, owner: false })
    await wordsOf()
  }
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
  let end = (): void => {}
  const held = new Promise<void>(resolve => {
    end = resolve
  })
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
  let ask = (): void => {}
  const asked = new Promise<void>(resolve => {
    ask = resolve
  })
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
  let read = (): void => {}
  const reading = new Promise<void>(resolve => {
    read = resolve
  })
  let answered = (): void => {}
  const answer = new Promise<void>(resolve => {
    answered = resolve
  })
  meanwhile = async () => {
    read()
    await answer
  }
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
  meanwhile = async () => {
    for (const id of ids) await change(id, 'changed')
    await wordsOf()
    expect(peeked(...ids)).toEqual([])
  }
  expect(await wordsOf(...ids, late)).toEqual(['one', 'two', 'three', 'late'])
  expect(loads.map(({ length }) => length)).toEqual([3, 1])
})
