import { randomUUID } from 'node:crypto'
import type { Codec } from '../codec.ts'
import { positionsOf } from '../consistency.ts'
import type { EventStore } from '../ports/event-store.ts'
import { type Database, type Db, sql } from '../sql.ts'
import type { ReadModel } from './model.ts'

export type Progress = {
  readonly key: string
  readonly events: number
  readonly position: number
  readonly target: number
  readonly seconds: number
}

export type RebuildParts = { readonly store: EventStore; readonly codec: Codec; readonly db: Database }

const fillBatch = 5_000
/** So near to the live model (in events), the rest is done within the swap. */
const swapWithin = 2_000

/** Runs a list of DDL statements: their texts are the model's own. */
export async function runDdl(db: Db, statements: readonly string[]): Promise<void> {
  for (const statement of statements) await db.run(sql.raw(statement))
}

/** Fills `schema` with what the log gives from `after` up to `until`, in batches. Returns how many events there were. */
export async function fill(
  { store, codec, db }: RebuildParts,
  model: ReadModel,
  schema: string,
  after: number,
  until: number,
  each: (events: number, position: number, tx: Db) => Promise<void> = async () => {},
): Promise<void> {
  if (until <= after) return
  const reading = new AbortController()
  let events = 0
  let waiting: Parameters<Codec['open']>[0][number][] = []
  const flush = async (position: number): Promise<void> => {
    const batch = await codec.open(waiting)
    events += batch.length
    waiting = []
    await db.transaction(async tx => {
      await tx.run(sql`set local synchronous_commit = off`)
      // Thousands of rows in a statement are worth a plan of their own.
      await tx.run(sql`set local plan_cache_mode = auto`)
      if (batch.length > 0) await model.projectInto(schema, batch, tx)
      await each(events, position, tx)
    })
  }
  try {
    const types = model.events.map(({ type }) => type)
    for await (const slice of store.subscribe({ after, types, signal: reading.signal })) {
      for (const event of slice.events) if (event.position <= until) waiting.push(event)
      const done = slice.passed >= until
      if (done || waiting.length >= fillBatch) await flush(Math.min(slice.passed, until))
      if (done) return
    }
  } finally {
    reading.abort()
  }
}

/**
 * Makes a read model anew beside the one that is served and swaps it in by two renames, in the transaction that fences the old projector.
 * The server may run or not. @throws Error where another rebuild of the model is under way
 */
export async function rebuild(
  parts: RebuildParts,
  model: ReadModel,
  onProgress: (progress: Progress) => void = () => {},
): Promise<Progress> {
  const { store, db } = parts
  if (model.kind === 'state') throw new Error(`${model.name} is state, not a print of the log: it cannot be rebuilt`)
  const { key } = model
  const next = `${key}_next`
  const holder = randomUUID()
  const began = Date.now()
  await claim(db, key, holder)
  let events = 0
  let position = 0
  let target = await store.head()
  const report = (): Progress => {
    const progress = { key, events, position, target, seconds: (Date.now() - began) / 1_000 }
    onProgress(progress)
    return progress
  }
  try {
    await db.run(sql.raw(`drop schema if exists ${next} cascade`))
    await runDdl(db, model.ddl(next, 'later'))
    const upTo = async (until: number): Promise<void> => {
      const before = events
      await fill(parts, model, next, position, until, async (count, passed, tx) => {
        events = before + count
        position = passed
        await note(tx, key, holder, position, target, events)
        report()
      })
      position = Math.max(position, until)
    }
    await upTo(target)
    await runDdl(db, model.indexDdl(next))
    await runDdl(
      db,
      Object.keys(model.tables).map(table => `analyze ${next}.${table}`),
    )
    for (;;) {
      target = await store.head()
      if (target - position <= swapWithin * store.positionsPerEvent) break
      await upTo(target)
    }
    await swap(parts, model, holder, next, position)
    return report()
  } finally {
    await db.transaction(async tx => {
      if (!(await isMine(tx, key, holder))) return
      await tx.run(sql.raw(`drop schema if exists ${next} cascade`))
      await tx.run(sql`delete from kernel.rebuilds where key = ${key}`)
    })
  }
}

/** Whether the rebuild is still this one's; nobody takes it over before the transaction ends. */
async function isMine(tx: Db, key: string, holder: string): Promise<boolean> {
  return (await tx.run(sql`select key from kernel.rebuilds where key = ${key} and holder = ${holder} for update`)).length > 0
}

const tookOver = (key: string): Error => new Error(`another rebuild of ${key} took over`)

/** One rebuild a model at a time; one that died is replaced after its lease. */
async function claim(db: Database, key: string, holder: string): Promise<void> {
  const [claimed] = await db.run(sql`
    insert into kernel.rebuilds (key, holder, position, target, lease_until) values (${key}, ${holder}, 0, 0, now() + interval '30 s')
    on conflict (key) do update set holder = excluded.holder, position = 0, events = 0, started_at = now(), lease_until = excluded.lease_until
      where kernel.rebuilds.lease_until < now()
    returning key`)
  if (claimed === undefined) throw new Error(`a rebuild of ${key} is under way already`)
}

async function note(tx: Db, key: string, holder: string, position: number, target: number, events: number): Promise<void> {
  const [mine] = await tx.run(sql`
    update kernel.rebuilds set position = ${position}, target = ${target}, events = ${events}, lease_until = now() + interval '5 min'
    where key = ${key} and holder = ${holder} returning key`)
  if (mine === undefined) throw tookOver(key)
}

/** Locks the live model's checkpoint, brings the new one to it, renames, and fences whoever projected into the old one. */
async function swap(
  { store, codec, db }: RebuildParts,
  model: ReadModel,
  holder: string,
  next: string,
  from: number,
): Promise<void> {
  const { key } = model
  const known = (await positionsOf(db)).get(key) ?? 0
  await db.transaction(async tx => {
    // What stands in `next` may be another's by now: to build indexes can take longer than the lease.
    if (!(await isMine(tx, key, holder))) throw tookOver(key)
    const [row] = await tx.run<{ checkpoint: number }>(sql`select checkpoint from kernel.consumers where key = ${key} for update`)
    const until = Math.max(row?.checkpoint ?? 0, known, from)
    // The rest within this transaction: only what the live model has done since.
    await fill({ store, codec, db: { ...db, transaction: work => work(tx) } }, model, next, from, until)
    await tx.run(sql.raw(`alter schema ${key} rename to ${key}_old`))
    await tx.run(sql.raw(`alter schema ${next} rename to ${key}`))
    await tx.run(sql`
      update kernel.consumers set checkpoint = ${until}, fence = fence + 1, holder = null, lease_until = '-infinity', state = 'running', error = null
      where key = ${key}`)
    await tx.run(sql.raw(`drop schema ${key}_old cascade`))
  })
}
