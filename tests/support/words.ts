import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach } from 'vitest'
import { Changes } from '../../src/kernel/projecting/changes.ts'
import { asOfOne, Kept, KeptPairs, type Look } from '../../src/kernel/projecting/kept.ts'
import { readModel } from '../../src/kernel/projecting/model.ts'
import { changesTable, noteChanges } from '../../src/kernel/projecting/notes.ts'
import { type Db, grouped, sql } from '../../src/kernel/sql.ts'
import { type TestKernel, testKernel } from './kernel.ts'

/** Rows of a model without events, kept and changed by hand. */
export type Word = { id: string; owner: string; word: string }

export const model = readModel<never>()({
  name: 'words',
  version: 1,
  events: [],
  tables: { words: { columns: 'id uuid primary key, owner uuid not null, word text not null' }, changes: changesTable },
  async project() {},
})
export const { words, changes } = model.t

export const load = grouped<{ ids: readonly string[] }, Word>(
  { ids: 'uuid[]' },
  p => sql`select * from ${words} where id = any(${p.ids})`,
)

export let kernel: TestKernel
/** New for each test, with what it follows and has loaded. */
export let kept: Kept<Word>
export let changed: Changes
export let loads: string[][]
let meanwhile: (() => Promise<void>) | null

/** Runs once, after the next load has read and before it answers. */
export function whileLoading(run: () => Promise<void>): void {
  meanwhile = run
}

/** Begins anew, as each test does. */
export function keepAnew(isWhole?: (row: Word) => boolean): void {
  loads = []
  meanwhile = null
  changed = new Changes()
  kept = keeping(isWhole)
}

/** Gives the tests of a file a database with the words. */
export function withWords(): void {
  beforeAll(async () => {
    kernel = await testKernel([model])
    await kernel.db.run(sql`insert into kernel.consumers (key, checkpoint) values (${model.key}, 0) on conflict (key) do nothing`)
  })
  afterAll(() => kernel.close())
  beforeEach(() => keepAnew())
}

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
/** Of the next change. */
export const nextPosition = (): number => ++position

export const owner = randomUUID()

export async function added(word: string): Promise<string> {
  const id = randomUUID()
  await kernel.db.run(sql`insert into ${words} values (${id}::uuid, ${owner}::uuid, ${word})`)
  return id
}

export const change = (id: string, word: string | null, note = { key: id, owner: false }): Promise<void> =>
  kernel.db.transaction(async (tx: Db) => {
    await tx.run(
      word === null
        ? sql`delete from ${words} where ${id}::uuid in (id, owner)`
        : sql`update ${words} set word = ${word} where id = ${id}::uuid`,
    )
    await noteChanges(tx, changes, [{ ...note, position: nextPosition() }])
  })

export const peeked = (...ids: string[]) => ids.flatMap(id => kept.peek(id) ?? [])

/** Each as it was read. */
export async function each<Value>(of: Changes, look: Look<Value>, ids: readonly string[]): Promise<(Value | undefined)[]> {
  const found = new Map<string, Value | undefined>()
  const at = () => {
    for (const id of ids) found.set(id, found.get(id) ?? look.get(id))
  }
  await asOfOne(of, kernel.db, [], at, [look])
  return ids.map(id => found.get(id))
}

export const wordsOf = async (...ids: string[]) => (await each(changed, kept.look(), ids)).map(row => row?.word)

/** The pairs of a one are the words that it owns. */
export const pairs = (parts: { known?: (other: string) => string | undefined; meanwhile?: () => Promise<void> } = {}) => {
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
