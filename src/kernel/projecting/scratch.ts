import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { type Database, type Db, sql } from '../sql.ts'
import { StartupError } from '../startup-error.ts'
import { leaseMs, untilLeaseEnds } from './leases.ts'

/** The right to fill schemas beside the served ones, until another process takes it. */
export type Claim = {
  readonly holder: string
  /**
   * Nobody takes it over before the transaction ends; and prolongs it, for while that is under way nobody else can. @throws Error where somebody has
   */
  hold(tx: Db): Promise<void>
}

/** The schemas that stand for a claim: of a rebuild, or of a verification. */
const schemasOf = (key: string): string[] => [`${key}_next`, `${key}_live`, `${key}_log`]

const lookEveryMs = 100

/**
 * Does work under a claim that is prolonged as long as this process lives. Its row in kernel.rebuilds stays, with all that stands in it, unless the work
 * removes it. Of a process that was killed it is taken over once its lease has ended.
 * @throws StartupError where another process is at it
 */
export async function claimed<T>(db: Database, key: string, work: (claim: Claim) => Promise<T>): Promise<T> {
  const holder = randomUUID()
  await take(db, key, holder)
  let renewing: Promise<unknown> | null = null
  const timer = setInterval(() => {
    // What a batch is just written under is locked: that prolongs it itself. One that cannot be prolonged ends, and what is written next says so.
    renewing ??= db
      .run(sql`
        update kernel.rebuilds b set lease_until = clock_timestamp() + ${untilLeaseEnds}
        from (select key from kernel.rebuilds where key = ${key} and holder = ${holder} for update skip locked) mine where b.key = mine.key`)
      .catch(() => {})
      .finally(() => {
        renewing = null
      })
  }, leaseMs / 4)
  try {
    return await work({
      holder,
      async hold(tx) {
        const mine = await tx.run(sql`
          update kernel.rebuilds set lease_until = clock_timestamp() + ${untilLeaseEnds} where key = ${key} and holder = ${holder} returning key`)
        if (mine.length === 0) throw new Error(`another process took over ${key}`)
      },
    })
  } finally {
    clearInterval(timer)
    await renewing
    await db.run(sql`update kernel.rebuilds set lease_until = clock_timestamp() where key = ${key} and holder = ${holder}`)
  }
}

/** @throws StartupError where its holder prolongs it */
async function take(db: Database, key: string, holder: string): Promise<void> {
  for (let seen: string | null = null; ; ) {
    const [taken] = await db.run(sql`
      insert into kernel.rebuilds (key, holder, position, target, lease_until) values (${key}, ${holder}, 0, 0, clock_timestamp() + ${untilLeaseEnds})
      on conflict (key) do update set holder = excluded.holder, events = 0, began = kernel.rebuilds.position, started_at = now(),
          lease_until = clock_timestamp() + ${untilLeaseEnds}
        where kernel.rebuilds.lease_until <= clock_timestamp()
      returning key`)
    if (taken !== undefined) return
    const [row] = await db.run<{ lease: string }>(
      sql`select holder::text || lease_until::text as lease from kernel.rebuilds where key = ${key}`,
    )
    if (row === undefined) continue
    if (seen !== null && row.lease !== seen) throw new StartupError(`A rebuild of ${key} is under way already: let it end.`)
    seen = row.lease
    await pause(lookEveryMs)
  }
}

/**
 * Drops what was left half made, for it holds what people wrote: copies of a verification, and a rebuild that nobody has gone on with for a day. What is
 * locked is being written.
 * Returns the keys of their claims.
 */
export async function dropAbandoned(db: Database): Promise<string[]> {
  return db.transaction(async tx => {
    const left = await tx.run<{ key: string }>(sql`
      delete from kernel.rebuilds where key in (
        select key from kernel.rebuilds where lease_until < now() - case when key ~ '_verify_' then interval '1 min' else interval '1 day' end
        for update skip locked)
      returning key`)
    for (const { key } of left) await dropScratch(tx, key)
    return left.map(({ key }) => key)
  })
}

/** Drops the schemas of a claim. */
export async function dropScratch(tx: Db, key: string): Promise<void> {
  for (const schema of schemasOf(key)) await tx.run(sql`drop schema if exists ${sql.id(schema)} cascade`)
}
