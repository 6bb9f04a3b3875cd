import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import * as v from 'valibot'
import type { StoredEvent } from '../kernel/events.ts'
import { newEpochs } from '../kernel/migrate.ts'
import { type EventStore, noStream } from '../kernel/ports/event-store.ts'
import type { ReadModel } from '../kernel/projecting/model.ts'
import { type Database, sql } from '../kernel/sql.ts'
import { StartupError } from '../kernel/startup-error.ts'

/** A line of an exported log (NDJSON): personal fields are sealed, as in the log; the keys are a file of their own. */
const Line = v.strictObject({
  stream: v.pipe(v.string(), v.minLength(3)),
  revision: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  id: v.pipe(v.string(), v.uuid()),
  type: v.pipe(v.string(), v.minLength(1)),
  data: v.record(v.string(), v.unknown()),
  metadata: v.looseObject({ at: v.pipe(v.string(), v.isoTimestamp()), schemaVersion: v.number(), correlationId: v.string() }),
})

/**
 * A line of exported keys. First the root, wrapped under SECRET, so that they open under that one alone; then each person's key, wrapped by one that comes from
 * the root, null for a destroyed one.
 */
const KeyLine = v.union([
  v.strictObject({ root: v.string() }),
  v.strictObject({ subject: v.pipe(v.string(), v.uuid()), wrapped: v.nullable(v.string()) }),
])

const writeAt = 1_000_000

/** Lines into a file that must not be there yet, for its owner alone; whole on the disk when it resolves. Returns how many. */
async function writeLines(file: string, lines: AsyncIterable<object>): Promise<number> {
  const handle = await open(file, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    throw new StartupError(`${file} cannot be written (${error.code}): name a file that is not there yet.`, { cause: error })
  })
  let count = 0
  try {
    let text = ''
    for await (const line of lines) {
      text += `${JSON.stringify(line)}\n`
      count++
      if (text.length < writeAt) continue
      await handle.write(text)
      text = ''
    }
    await handle.write(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  return count
}

async function* linesOf<S extends v.GenericSchema>(file: string, schema: S): AsyncIterable<v.InferOutput<S>> {
  const lines = createInterface({ input: createReadStream(file, 'utf8'), crlfDelay: Number.POSITIVE_INFINITY })
  let number = 0
  for await (const line of lines) {
    number++
    if (line === '') continue
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      throw new StartupError(`${file}, line ${number}: this is no JSON. Was the file copied whole?`)
    }
    const parsed = v.safeParse(schema, value)
    if (!parsed.success)
      throw new StartupError(
        `${file}, line ${number}: ${v.getDotPath(parsed.issues[0]) ?? 'the line'} is not what an export writes.`,
      )
    yield parsed.output
  }
}

async function* eventsOf(store: EventStore, until: number, step: (events: number) => void): AsyncIterable<object> {
  const reading = new AbortController()
  let events = 0
  try {
    for await (const slice of store.subscribe({ after: 0, signal: reading.signal })) {
      for (const { stream, revision, id, type, data, metadata, position } of slice.events) {
        if (position > until) return
        yield { stream, revision, id, type, data, metadata }
        step(++events)
      }
      if (slice.passed >= until) return
    }
  } finally {
    reading.abort()
  }
}

/** Writes the whole log as it stands now, in its order. Returns the number of events. */
export async function exportLog(store: EventStore, file: string, step: (events: number) => void = () => {}): Promise<number> {
  return writeLines(file, eventsOf(store, await store.head(), step))
}

/** Writes the wrapped root, every person's wrapped key, and the tombstones. Returns the number of keys. */
export async function exportKeys(db: Database, file: string): Promise<number> {
  const [root] = await db.run<{ wrapped: Buffer }>(sql`select wrapped from keys.root`)
  async function* keys(): AsyncIterable<object> {
    if (root !== undefined) yield { root: root.wrapped.toString('base64') }
    for (let after = '00000000-0000-0000-0000-000000000000'; ; ) {
      const rows = await db.run<{ subject: string; wrapped: Buffer | null }>(
        sql`select subject, wrapped from keys.keys where subject > ${after} order by subject limit 1000`,
      )
      for (const { subject, wrapped } of rows) yield { subject, wrapped: wrapped?.toString('base64') ?? null }
      if (rows.length < 1_000) return
      after = rows.at(-1)!.subject
    }
  }
  return (await writeLines(file, keys())) - (root === undefined ? 0 : 1)
}

/** Adds root and keys that are not there; a tombstone stays one. Returns how many keys there were. */
export async function importKeys(db: Database, file: string): Promise<number> {
  // One that a server made for itself, and nobody has used.
  await db.run(sql`delete from keys.root where not exists (select from keys.keys)`)
  let count = 0
  for await (const line of linesOf(file, KeyLine)) {
    if ('root' in line) {
      await db.run(
        sql`insert into keys.root (wrapped) values (${Buffer.from(line.root, 'base64')}) on conflict (single) do nothing`,
      )
      continue
    }
    const { subject, wrapped } = line
    await db.run(sql`
      insert into keys.keys (subject, wrapped, destroyed_at)
      values (${subject}, ${wrapped === null ? null : Buffer.from(wrapped, 'base64')}, ${wrapped === null ? sql`now()` : null})
      on conflict (subject) do nothing`)
    count++
  }
  return count
}

/** A server's own events do not count: it has them from its first start. */
async function hasEvents(store: EventStore): Promise<boolean> {
  for await (const _ of eventsOf(store, await store.head(), () => {})) return true
  return false
}

/** @throws StartupError where the log has events, or a server runs */
export async function refuseUsed({ db, store }: { db: Database; store: EventStore }): Promise<void> {
  if (await hasEvents(store)) throw new StartupError('The log is not empty: import into a new DATA_DIR or DATABASE_URL.')
  const [running] = await db.run(sql`select key from kernel.consumers where holder is not null and lease_until > now() limit 1`)
  if (running !== undefined) throw new StartupError('A server runs on this database: stop it, then import.')
}

/**
 * Fills an empty log from an export, in its order, and begins a new epoch: old tokens are refused, live clients start anew. Read models begin
 * again (rebuild them next); reactions begin at what comes. Ask `refuseUsed` before.
 * @param atOnce streams that are appended to at once, each once: more than one where the log keeps the order in which appends begin
 * @throws StartupError where the file is not an export
 */
export async function importLog(
  { db, store }: { db: Database; store: EventStore },
  models: readonly ReadModel[],
  file: string,
  atOnce: number,
): Promise<number> {
  let events = 0
  let run = new Map<string, { events: StoredEvent[]; expected: number }>()
  const flush = async (): Promise<void> => {
    // Begun in their order: the log keeps it.
    await Promise.all([...run].map(([stream, append]) => store.append(stream, append.events, append.expected)))
    for (const append of run.values()) events += append.events.length
    run = new Map()
  }
  let last = ''
  for await (const { stream, revision, ...event } of linesOf(file, Line)) {
    const waiting = run.get(stream)
    // Events of one append follow each other; a stream that comes again later waits, so that the order stays.
    if (waiting !== undefined && stream === last) waiting.events.push(event as StoredEvent)
    else {
      if (waiting !== undefined || run.size >= atOnce) await flush()
      run.set(stream, { events: [event as StoredEvent], expected: revision === 0 ? noStream : revision - 1 })
    }
    last = stream
  }
  await flush()
  const head = await store.head()
  await db.transaction(async tx => {
    for (const { key } of models) await tx.run(sql.raw(`drop schema if exists ${key} cascade`))
    await tx.run(sql`delete from kernel.consumers where key = any(${sql.val(models.map(({ key }) => key))}::text[])`)
    await tx.run(sql`update kernel.consumers set checkpoint = ${head}`)
    await newEpochs(tx)
  })
  return events
}
