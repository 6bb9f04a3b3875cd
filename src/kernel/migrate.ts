import { randomBytes } from 'node:crypto'
import type { EventStore } from './ports/event-store.ts'
import type { ReadModel } from './projecting/model.ts'
import { runDdl } from './projecting/rebuild.ts'
import { type Database, type Db, sql } from './sql.ts'
import { StartupError } from './startup-error.ts'

/** A step of the schema that is state (log, keys, kernel): written once, never changed. Read models have versions of their own instead. */
export type Migration = { readonly name: string; readonly ddl: string }

/** Brings state up to date and makes the schemas of read models that are new. Processes that start together wait for each other. */
export async function migrate(db: Database, migrations: readonly Migration[], models: readonly ReadModel[]): Promise<string[]> {
  return db.transaction(async tx => {
    await tx.run(sql`select pg_advisory_xact_lock(hashtext('darkroom.migrate'))`)
    await tx.run(
      sql`create table if not exists public.darkroom_migrations (name text primary key, at timestamptz not null default now())`,
    )
    const done: string[] = []
    for (const { name, ddl } of migrations) {
      const [before] = await tx.run(sql`select name from public.darkroom_migrations where name = ${name}`)
      if (before !== undefined) continue
      for (const statement of statementsOf(ddl)) await tx.run(sql.raw(statement))
      await tx.run(sql`insert into public.darkroom_migrations (name) values (${name})`)
      done.push(name)
    }
    for (const model of models) {
      const [there] = await tx.run(sql`select nspname from pg_namespace where nspname = ${model.key}`)
      if (there !== undefined) continue
      await runDdl(tx, model.ddl(model.key, 'now'))
      done.push(model.key)
    }
    return done
  })
}

/** One statement at a time, for a named statement holds only one; a function's body holds its own semicolons. */
function statementsOf(ddl: string): string[] {
  return ddl
    .split(/;\s*\n(?=(?:--|create|alter|insert))/i)
    .map(statement => statement.trim())
    .filter(statement => statement !== '')
}

const newEpoch = (): string => randomBytes(4).toString('hex')

/** After an import or a restore: positions and live messages of before mean nothing any more. */
export async function newEpochs(db: Db): Promise<void> {
  await db.run(sql`
    insert into kernel.meta (epoch, live_epoch) values (${newEpoch()}, ${newEpoch()})
    on conflict (single) do update set epoch = excluded.epoch, live_epoch = excluded.live_epoch`)
}

/** What this deployment's positions and live messages belong to; made at the first start. */
export async function epochs(db: Database): Promise<{ epoch: string; liveEpoch: string }> {
  await db.run(
    sql`insert into kernel.meta (epoch, live_epoch) values (${newEpoch()}, ${newEpoch()}) on conflict (single) do nothing`,
  )
  const [row] = await db.run<{ epoch: string; live_epoch: string }>(sql`select epoch, live_epoch from kernel.meta`)
  return { epoch: row!.epoch, liveEpoch: row!.live_epoch }
}

/** A log that is shorter than what the read models have seen was restored or lost: to go on would mix two histories. @throws StartupError */
export async function refuseLostLog(db: Database, store: Pick<EventStore, 'head' | 'end'>): Promise<void> {
  // Before the end: others append and project while we look.
  const [row] = await db.run<{ key: string; checkpoint: number }>(
    sql`select key, checkpoint from kernel.consumers order by checkpoint desc limit 1`,
  )
  const end = (await store.end?.()) ?? (await store.head())
  if (row === undefined || row.checkpoint <= end) return
  throw new StartupError(
    `${row.key} has seen the log up to ${row.checkpoint}, but the log ends at ${end}: it was restored or is another one. Restore the database of this log.`,
  )
}
