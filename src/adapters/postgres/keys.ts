import { randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { type ErasureMark, type ErasuresSeen, KeyDestroyed, type KeyStore } from '../../kernel/ports/key-store.ts'
import { rows } from '../../kernel/rows.ts'
import { type Database, sql } from '../../kernel/sql.ts'
import { unwrap, wrap } from './wrapping.ts'

/** The schema of the key store. A row without `wrapped` is the tombstone of a destroyed key. */
export const keysSchema = `
create schema keys;
create table keys.keys (
  subject uuid primary key,
  wrapped bytea,
  made_at timestamptz not null default now(),
  destroyed_at timestamptz,
  check ((wrapped is null) = (destroyed_at is not null))
)`

/** Beside the keys, so that it is backed up and restored with them. */
export const erasuresSeenSchema = `
create table keys.erasures_seen (
  single boolean primary key default true check (single),
  before bigint not null,
  position bigint not null,
  id uuid not null
)`

/** The root of the keys that never change, wrapped by one of SECRET; beside the keys, which are worth nothing without it. */
export const rootSchema = `
create table keys.root (
  single boolean primary key default true check (single),
  wrapped bytea not null,
  made_at timestamptz not null default now()
)`

type Row = { subject: string; wrapped: Buffer | null }

/** Data keys in a schema of their own, each wrapped by the master key (AES-256-GCM, bound to its subject). */
export class PostgresKeyStore implements KeyStore, ErasureMark {
  readonly #db: Database
  readonly #master: () => Buffer
  readonly #opened = new LRUCache<string, Buffer>({ max: 100_000, ttl: 60_000 })

  /** @param master the key that all others are wrapped by, asked for when one is */
  constructor(db: Database, master: () => Buffer) {
    this.#db = db
    this.#master = master
  }

  async create(subjectId: string): Promise<void> {
    const wrapped = wrap(this.#master(), subjectId, randomBytes(32))
    await this.#db.run(
      sql`insert into keys.keys (subject, wrapped) values (${subjectId}, ${wrapped}) on conflict (subject) do nothing`,
    )
    await this.forSealing([subjectId])
  }

  /** Makes the keys of many new subjects at once. @throws where one has a key, or had */
  async createAll(subjectIds: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
    const made = new Map(subjectIds.map(id => [id, randomBytes(32)]))
    const wrapped = [...made].map(([subject, key]) => ({ subject, wrapped: wrap(this.#master(), subject, key).toString('hex') }))
    await this.#db.run(sql`
      insert into keys.keys (subject, wrapped)
      select subject, decode(wrapped, 'hex') from ${rows('made', { subject: 'uuid', wrapped: 'text' }, wrapped)}`)
    return made
  }

  async forSealing(subjectIds: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
    const found = await this.#fetch(subjectIds)
    const missing = subjectIds.filter(id => !found.has(id))
    if (missing.length > 0) throw new KeyDestroyed(`no key for ${missing.join(', ')}`)
    return found
  }

  async forOpening(subjectIds: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
    const known = new Map<string, Buffer>()
    const wanted: string[] = []
    for (const id of subjectIds) {
      const key = this.#opened.get(id)
      if (key === undefined) wanted.push(id)
      else known.set(id, key)
    }
    if (wanted.length > 0) for (const [id, key] of await this.#fetch(wanted)) known.set(id, key)
    return known
  }

  async destroy(subjectIds: readonly string[]): Promise<void> {
    if (subjectIds.length === 0) return
    await this.#db.run(sql`
      insert into keys.keys (subject, wrapped, destroyed_at) select subject, null, now() from unnest(${sql.val(subjectIds)}::uuid[]) subject
      on conflict (subject) do update set wrapped = null, destroyed_at = coalesce(keys.keys.destroyed_at, now())`)
    for (const id of subjectIds) this.#opened.delete(id)
  }

  async erasuresSeen(): Promise<ErasuresSeen | null> {
    const [seen] = await this.#db.run<ErasuresSeen>(sql`select before, position, id from keys.erasures_seen`)
    return seen ?? null
  }

  async sawErasures({ before, position, id }: ErasuresSeen): Promise<void> {
    await this.#db.run(sql`
      insert into keys.erasures_seen (before, position, id) values (${before}, ${position}, ${id})
      on conflict (single) do update set before = excluded.before, position = excluded.position, id = excluded.id`)
  }

  async #fetch(subjectIds: readonly string[]): Promise<Map<string, Buffer>> {
    const found = await this.#db.run<Row>(
      sql`select subject, wrapped from keys.keys where subject = any(${sql.val(subjectIds)}::uuid[])`,
    )
    const keys = new Map<string, Buffer>()
    for (const { subject, wrapped } of found) {
      if (wrapped === null) continue
      const key = unwrap(this.#master(), subject, wrapped)
      keys.set(subject, key)
      this.#opened.set(subject, key)
    }
    return keys
  }
}
