import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { database, openPool } from '../../src/adapters/postgres/database.ts'
import { migrations } from '../../src/app.ts'
import { allModels } from '../../src/cli/models.ts'
import { migrate } from '../../src/kernel/migrate.ts'
import { temporaryFolder } from './temporary.ts'

/** Which schemas of a database: all, those that stand beside the log of another engine, or the keys alone. */
type What = 'all' | 'but keys' | 'keys'

export type Backup = {
  /** Into an empty database or, `rowsOnly`, into one that has its tables. */
  restore(url: string, options?: { rowsOnly: boolean }): Promise<void>
  forget(): Promise<void>
}

/** A way to take a backup of a database, as it stands at one moment. */
export type Take = (url: string, what: What) => Promise<Backup>

/** An empty database made ready, as the tool's `migrate` does. */
export async function migrated(url: string): Promise<void> {
  const pool = openPool(url, 2, () => {})
  await migrate(database(pool), migrations, allModels)
  await pool.end()
}

const isWanted = (schema: string, what: What): boolean => what === 'all' || (schema === 'keys') === (what === 'keys')

/** Row for row, by SQL in one snapshot: stands for the dump that this machine may have no program for. */
export const byRows: Take = async (url, what) => {
  const rows = await within(url, 'begin isolation level repeatable read read only', async client => {
    const { rows: tables } = await client.query<{ schema: string; name: string }>(
      `select schemaname as schema, tablename as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema', 'public')`,
    )
    const taken: { table: string; rows: string }[] = []
    for (const { schema, name } of tables.filter(({ schema }) => isWanted(schema, what))) {
      const table = `${schema}.${name}`
      const { rows } = await client.query<{ rows: string }>(`select coalesce(json_agg(t), '[]')::text as rows from ${table} t`)
      taken.push({ table, rows: rows[0]!.rows })
    }
    return taken
  })
  return {
    async restore(to) {
      await migrated(to)
      await within(to, 'begin', async client => {
        for (const { table, rows: said } of rows)
          await client.query(`insert into ${table} select * from json_populate_recordset(null::${table}, $1::json)`, [said])
      })
    },
    forget: async () => {},
  }
}

/** By `pg_dump` and `pg_restore`. @param bin the folder that they are in; no older than the server */
export const byDump =
  (bin: string): Take =>
  async (url, what) => {
    const run = (program: string, ...args: string[]) => promisify(execFile)(join(bin, program), args)
    const folder = await temporaryFolder()
    const file = join(folder, 'dump')
    const schemas = { all: [], 'but keys': ['--exclude-schema=keys'], keys: ['--schema=keys'] }[what]
    await run('pg_dump', '--format=custom', '--file', file, ...schemas, url)
    return {
      async restore(to, { rowsOnly } = { rowsOnly: false }) {
        await run('pg_restore', '--exit-on-error', ...(rowsOnly ? ['--data-only'] : []), '--dbname', to, file)
      },
      forget: () => rm(folder, { recursive: true }),
    }
  }

async function within<T>(url: string, begin: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(begin)
    const result = await work(client)
    await client.query('commit')
    return result
  } finally {
    await client.end()
  }
}
