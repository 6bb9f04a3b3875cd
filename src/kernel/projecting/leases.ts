import { type Database, type Db, query, sql } from '../sql.ts'
import { type Consumer, type Lease, LeaseLost } from './consumer.ts'

/** Milliseconds that a lease holds without renewal; a dead or frozen process loses its consumers after that. */
export const leaseMs = 6_000

const takeQuery = query<{ key: string; holder: string }, { checkpoint: number; fence: number }>(
  p => sql`
    update kernel.consumers set holder = ${p.holder}, fence = fence + 1, lease_until = now() + ${sql.lit(leaseMs)} * interval '1 ms', state = 'running', error = null
    where key = ${p.key} and (holder is null or lease_until < now())
    returning checkpoint, fence`,
)

const advanceQuery = query<{ key: string; holder: string; fence: number; before: number; after: number }, { key: string }>(
  p => sql`
    update kernel.consumers set checkpoint = ${p.after}, updated_at = now()
    where key = ${p.key} and holder = ${p.holder} and fence = ${p.fence} and checkpoint = ${p.before}
    returning key`,
)

/** Takes the consumer if nobody holds it. */
export async function takeLease(db: Db, key: string, holder: string): Promise<{ lease: Lease; checkpoint: number } | null> {
  const [row] = await takeQuery(db, { key, holder })
  return row === undefined ? null : { lease: { holder, fence: row.fence }, checkpoint: row.checkpoint }
}

/** Prolongs all that this process holds. Returns the keys and fences that are still its own. */
export async function renewLeases(db: Db, holder: string): Promise<ReadonlyMap<string, number>> {
  const rows = await db.run<{ key: string; fence: number }>(sql`
    update kernel.consumers set lease_until = now() + ${sql.lit(leaseMs)} * interval '1 ms' where holder = ${holder} returning key, fence`)
  return new Map(rows.map(({ key, fence }) => [key, fence]))
}

/** Gives the consumer back, so that another process need not wait for the lease to end. */
export async function releaseLease(db: Db, key: string, lease: Lease): Promise<void> {
  await db.run(sql`
    update kernel.consumers set holder = null, lease_until = '-infinity' where key = ${key} and holder = ${lease.holder} and fence = ${lease.fence}`)
}

/** Moves the checkpoint, guarded by its previous value and by the fence. @throws LeaseLost */
export async function advance(db: Db, key: string, lease: Lease, before: number, after: number): Promise<void> {
  const moved = await advanceQuery(db, { key, ...lease, before, after })
  if (moved.length === 0) throw new LeaseLost(key)
}

/** Tells the operator why a consumer stands still. */
export async function setState(
  db: Db,
  key: string,
  lease: Lease,
  state: 'running' | 'paused' | 'waiting_for_upgrade',
  error: object | null,
): Promise<void> {
  await db.run(sql`
    update kernel.consumers set state = ${state}, error = ${error === null ? null : JSON.stringify(error)}::json
    where key = ${key} and holder = ${lease.holder} and fence = ${lease.fence}`)
}

/** Makes the rows of consumers that are new. `head` is where those begin that want only what comes. */
export async function registerConsumers(
  db: Database,
  consumers: readonly Pick<Consumer, 'key' | 'from'>[],
  head: number,
): Promise<void> {
  for (const { key, from } of consumers) {
    await db.run(
      sql`insert into kernel.consumers (key, checkpoint) values (${key}, ${from === 'now' ? head : 0}) on conflict (key) do nothing`,
    )
  }
}
