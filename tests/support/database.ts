import pg from 'pg'
import { inject } from 'vitest'
import { ownName, standsOn } from './engines.ts'

/** An empty database of its own for a test file, on the server of this run; `drop` cuts off whoever is still connected. */
export async function freshDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  standsOn('DATABASE_URL')
  const { postgresUrl } = inject('engines')
  const name = ownName()
  await run(postgresUrl, `create database ${name} template template0`)
  const url = new URL(postgresUrl)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => run(postgresUrl, `drop database ${name} with (force)`) }
}

async function run(url: string, statement: string) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
