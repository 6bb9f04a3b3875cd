import { type Database, type Db, query, sql } from '../sql.ts'
import { type Consumer, type Lease, LeaseLost } from './consumer.ts'
import { shareOut } from './sharing.ts'

/** Milliseconds that a lease holds without renewal; a dead or frozen process loses its consumers after that. */
export const leaseMs = 4_000

/** The same, in SQL. */
export const untilLeaseEnds = sql`interval '${sql.raw(String(leaseMs))} ms'`

const takeQuery = query<{ key: string; holder: string }, { checkpoint: number; fence: number }>(
  p => sql`
    update kernel.consumers set holder = ${p.holder}, fence = fence + 1, lease_until = now() + ${untilLeaseEnds}, state = 'running', error = null
    where key = ${p.key} and (holder is null or lease_until < now())
    returning checkpoint, fence`,
)

type Step = {
  readonly key: string
  readonly holder: string
  readonly fence: number
  readonly before: number
  readonly after: number
}

const advanceQuery = query<{ readonly [Name in keyof Step]: readonly Step[Name][] }, { key: string }>(
  p => sql`
    update kernel.consumers c set checkpoint = s.after, updated_at = now(), lease_until = now() + ${untilLeaseEnds}
    from unnest(${p.key}::text[], ${p.holder}::uuid[], ${p.fence}::bigint[], ${p.before}::bigint[], ${p.after}::bigint[]) as s (key, holder, fence, before, after)
    where c.key = s.key and c.holder = s.holder and c.fence = s.fence and c.checkpoint = s.before
    returning c.key`,
)

/** Takes the consumer if nobody holds it. */
export async function takeLease(db: Db, key: string, holder: string): Promise<{ lease: Lease; checkpoint: number } | null> {
  const [row] = await takeQuery(db, { key, holder })
  return row === undefined ? null : { lease: { holder, fence: row.fence }, checkpoint: row.checkpoint }
}

/** How a process stands: the fences of the leases that it holds, and the consumers that it is to run. */
export type Standing = { readonly fences: ReadonlyMap<string, number>; readonly mine: ReadonlySet<string> }

/**
 * Says that this process is here and can run these consumers, prolongs what it holds, and looks at what is its share. A process that has not said so for
 * the length of a lease counts as gone.
 */
export async function attend(db: Db, holder: string, wants: readonly string[]): Promise<Standing> {
  await db.run(sql`
    insert into kernel.runs (holder, position, pending, wants) values (${holder}, 0, ${sql.val(wants)}::text[], ${sql.val(wants)}::text[])
    on conflict (holder) do update set seen_at = now(), wants = excluded.wants`)
  // What a batch is just written under is locked: its lease counts from then, and the others must not wait for it.
  await db.run(sql`
    update kernel.consumers c set lease_until = now() + ${untilLeaseEnds}
    from (select key from kernel.consumers where holder = ${holder} for update skip locked) held where c.key = held.key`)
  const consumers = await db.run<{ key: string; holder: string | null; fence: number }>(
    sql`select key, holder, fence from kernel.consumers`,
  )
  const members = await db.run<{ holder: string; wants: string[] }>(
    sql`select holder, wants from kernel.runs where seen_at > now() - ${untilLeaseEnds}`,
  )
  const shares = shareOut(
    consumers,
    members.map(({ holder, wants }) => ({ holder, wants: new Set(wants) })),
  )
  return {
    fences: new Map(consumers.filter(consumer => consumer.holder === holder).map(({ key, fence }) => [key, fence])),
    mine: new Set([...shares].filter(([, to]) => to === holder).map(([key]) => key)),
  }
}

/** Takes this process out of the sharing, and rows with it that nobody has refreshed for long. */
export async function depart(db: Db, holder: string): Promise<void> {
  await db.run(sql`delete from kernel.runs where holder = ${holder} or seen_at < now() - interval '1 day'`)
}

/** Gives the consumer back, so that another process need not wait for the lease to end. */
export async function releaseLease(db: Db, key: string, lease: Lease): Promise<void> {
  await db.run(sql`
    update kernel.consumers set holder = null, lease_until = '-infinity' where key = ${key} and holder = ${lease.holder} and fence = ${lease.fence}`)
}

/** What is to move on one connection: consumers that share a transaction move by one statement. */
const advancing = new WeakMap<Db, { readonly steps: Step[]; readonly moved: Promise<ReadonlySet<string>> }>()

/** Moves the checkpoint, guarded by its previous value and by the fence. @throws LeaseLost */
export async function advance(db: Db, key: string, lease: Lease, before: number, after: number): Promise<void> {
  let group = advancing.get(db)
  if (group === undefined) {
    const steps: Step[] = []
    group = { steps, moved: Promise.resolve().then(() => moveAll(db, steps)) }
    advancing.set(db, group)
  }
  group.steps.push({ key, ...lease, before, after })
  if (!(await group.moved).has(key)) throw new LeaseLost(key)
}

async function moveAll(db: Db, steps: readonly Step[]): Promise<ReadonlySet<string>> {
  advancing.delete(db)
  const all = <Name extends keyof Step>(name: Name): Step[Name][] => steps.map(step => step[name])
  const moved = await advanceQuery(db, {
    key: all('key'),
    holder: all('holder'),
    fence: all('fence'),
    before: all('before'),
    after: all('after'),
  })
  return new Set(moved.map(({ key }) => key))
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

/**
 * Makes the rows of consumers that are new.
 * @param head where those begin that want only what comes, and up to where the others have to be filled
 * @param beginning where the others begin
 */
export async function registerConsumers(
  db: Database,
  consumers: readonly Pick<Consumer, 'key' | 'from'>[],
  head: number,
  beginning = 0,
): Promise<void> {
  for (const { key, from } of consumers) {
    const checkpoint = from === 'now' ? head : beginning
    await db.run(
      sql`
        insert into kernel.consumers (key, checkpoint, filling_until) values (${key}, ${checkpoint}, ${checkpoint === head ? 0 : head})
        on conflict (key) do nothing`,
    )
  }
}
