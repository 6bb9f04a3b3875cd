import { createHash } from 'node:crypto'
import type { Codec } from '../codec.ts'
import { positionsOf } from '../consistency.ts'
import type { EventStore } from '../ports/event-store.ts'
import { type Database, type Db, sql } from '../sql.ts'
import type { ReadModel } from './model.ts'
import { type Claim, claimed, dropScratch } from './scratch.ts'

/** `events` and `seconds` are of this run; it began at the position `from`, which is 0 but where it went on with one that had ended. */
export type Progress = {
  readonly key: string
  readonly events: number
  readonly from: number
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

type Filling = {
  readonly after: number
  readonly until: number
  /** Whether all rows are written, or `deriveIn` follows. */
  readonly whole: boolean
  /** Asked in the transaction of each batch, first and last. */
  readonly before?: (tx: Db) => Promise<void>
  readonly each?: (events: number, position: number, tx: Db) => Promise<void>
}

/** For statements of thousands of rows: they are worth a plan of their own, and memory to sort them in. */
export async function manyRows(tx: Db): Promise<void> {
  await tx.run(sql`set local synchronous_commit = off`)
  await tx.run(sql`set local plan_cache_mode = force_custom_plan`)
  await tx.run(sql`set local work_mem = '64MB'`)
}

/** Fills `schema` with what the log gives, in batches: one is written while the next is read. */
export async function fill(
  { store, codec, db }: RebuildParts,
  model: ReadModel,
  schema: string,
  { after, until, whole, before, each }: Filling,
): Promise<void> {
  if (until <= after) return
  const reading = new AbortController()
  let events = 0
  let waiting: Parameters<Codec['open']>[0][number][] = []
  let writing = Promise.resolve()
  const write = async (batch: Awaited<ReturnType<Codec['open']>>, position: number): Promise<void> => {
    events += batch.length
    await db.transaction(async tx => {
      await before?.(tx)
      await manyRows(tx)
      // Nobody waits for what is filled, and this process reads the next batch meanwhile: it may be busy for longer than a server's may.
      if (!whole) await tx.run(sql`set local idle_in_transaction_session_timeout = '60s'`)
      if (batch.length > 0) await model.projectInto(schema, batch, tx, !whole)
      await each?.(events, position, tx)
      // However long it took.
      await before?.(tx)
    })
  }
  try {
    const types = model.events.map(({ type }) => type)
    for await (const slice of store.subscribe({ after, types, signal: reading.signal })) {
      for (const event of slice.events) if (event.position <= until) waiting.push(event)
      const done = slice.passed >= until
      if (done || waiting.length >= fillBatch) {
        const batch = await codec.open(waiting)
        waiting = []
        await writing
        writing = write(batch, Math.min(slice.passed, until))
        // Whoever awaits it is told; the log may have nothing more to read for long.
        writing.catch(() => reading.abort())
      }
      if (done) break
    }
    await writing
  } finally {
    reading.abort()
    // Also where reading failed: nothing is written any more when this has ended.
    await Promise.allSettled([writing])
  }
}

/**
 * Makes a read model anew beside the one that is served and swaps it in by two renames, in the transaction that fences the old projector.
 * The server may run or not. Where an earlier one ended on its way, killed or by an error, this one goes on: each batch was committed with its position.
 * @param how `restart` begins anew all the same
 * @throws StartupError where another rebuild of the model is under way
 */
export async function rebuild(
  parts: RebuildParts,
  model: ReadModel,
  onProgress: (progress: Progress) => void = () => {},
  how: 'resume' | 'restart' = 'resume',
): Promise<Progress> {
  const { store, db } = parts
  if (model.kind === 'state') throw new Error(`${model.name} is state, not a print of the log: it cannot be rebuilt`)
  const { key } = model
  const next = `${key}_next`
  return claimed(db, key, async claim => {
    let standing = await stand(db, model, claim, how)
    let target = await store.head()
    // A log that is shorter than what was filled from it was restored.
    if (standing.position > target) standing = await stand(db, model, claim, 'restart')
    const from = standing.position
    const began = Date.now()
    let position = from
    let events = 0
    let whole = standing.indexed
    const report = (): Progress => {
      const progress = { key, events, from, position, target, seconds: (Date.now() - began) / 1_000 }
      onProgress(progress)
      return progress
    }
    const upTo = async (until: number): Promise<void> => {
      const sofar = events
      const each = async (count: number, passed: number, tx: Db): Promise<void> => {
        await tx.run(
          sql`update kernel.rebuilds set position = ${passed}, target = ${target}, events = ${sofar + count} where key = ${key}`,
        )
        events = sofar + count
        position = passed
        report()
      }
      await fill(parts, model, next, { after: position, until, whole, before: claim.hold, each })
    }
    report()
    await upTo(target)
    if (!whole)
      await db.transaction(async tx => {
        await manyRows(tx)
        await model.deriveIn(next, tx)
        await runDdl(tx, model.indexDdl(next))
        await claim.hold(tx)
        await tx.run(sql`update kernel.rebuilds set indexed = true where key = ${key}`)
      })
    whole = true
    // Not what is empty yet: Postgres would plan for that until it looks again, a minute later.
    const filled = Object.entries(model.tables).flatMap(([table, { passing }]) => (passing ? [] : [table]))
    await runDdl(
      db,
      filled.map(table => `analyze ${next}.${table}`),
    )
    for (;;) {
      target = await store.head()
      if (target - position <= swapWithin * store.positionsPerEvent) break
      await upTo(target)
    }
    await swap(parts, model, claim, next, position)
    return report()
  })
}

/** Where the new tables stand: as an earlier rebuild left them, if it made the same of the same log; else empty, made now. */
async function stand(
  db: Database,
  model: ReadModel,
  claim: Claim,
  how: 'resume' | 'restart',
): Promise<{ position: number; indexed: boolean }> {
  const { key } = model
  const next = `${key}_next`
  return db.transaction(async tx => {
    await claim.hold(tx)
    const [log] = await tx.run<{ epoch: string }>(sql`select epoch from kernel.meta`)
    const parts = [log?.epoch, model.ddl(next, 'now'), model.events.map(({ type }) => type)]
    const madeOf = createHash('sha256').update(JSON.stringify(parts)).digest('hex')
    const [left] = await tx.run<{ position: number; indexed: boolean }>(sql`
      select position, indexed from kernel.rebuilds
      where key = ${key} and made_of = ${madeOf} and exists (select from pg_namespace where nspname = ${next})`)
    if (left !== undefined && how === 'resume') return left
    await dropScratch(tx, key)
    await runDdl(tx, model.ddl(next, 'later'))
    await tx.run(
      sql`update kernel.rebuilds set position = 0, began = 0, events = 0, indexed = false, made_of = ${madeOf} where key = ${key}`,
    )
    return { position: 0, indexed: false }
  })
}

/** Locks the live model's checkpoint, brings the new one to it, renames, and fences whoever projected into the old one. */
async function swap(
  { store, codec, db }: RebuildParts,
  model: ReadModel,
  claim: Claim,
  next: string,
  from: number,
): Promise<void> {
  const { key } = model
  const known = (await positionsOf(db)).get(key) ?? 0
  await db.transaction(async tx => {
    await claim.hold(tx)
    const [row] = await tx.run<{ checkpoint: number }>(sql`select checkpoint from kernel.consumers where key = ${key} for update`)
    const until = Math.max(row?.checkpoint ?? 0, known, from)
    // The rest within this transaction: only what the live model has done since.
    await fill({ store, codec, db: { ...db, transaction: work => work(tx) } }, model, next, { after: from, until, whole: true })
    await tx.run(sql.raw(`alter schema ${key} rename to ${key}_old`))
    await tx.run(sql.raw(`alter schema ${next} rename to ${key}`))
    await tx.run(sql`
      update kernel.consumers set checkpoint = ${until}, fence = fence + 1, holder = null, lease_until = '-infinity', state = 'running', error = null
      where key = ${key}`)
    await tx.run(sql.raw(`drop schema ${key}_old cascade`))
    await tx.run(sql`delete from kernel.rebuilds where key = ${key}`)
  })
}
