import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { isAlive } from '../../src/adapters/postgres/embedded/postmaster.ts'
import { startEmbeddedPostgres, stopEmbeddedPostgres } from '../../src/adapters/postgres/embedded.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** A PostgreSQL server on which tests may create databases. */
    postgresUrl: string
  }
}

const PREFIX = 'darkroom-tests-'

/** One PostgreSQL for the whole run: that of TEST_DATABASE_URL, or an embedded one in a temporary folder. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const given = process.env.TEST_DATABASE_URL
  if (given) {
    project.provide('postgresUrl', given)
    return undefined
  }
  await removeDeadRuns()
  const dataDir = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`))
  const settings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }
  const postgres = await startEmbeddedPostgres({ dataDir, log: () => {}, settings })
  project.provide('postgresUrl', postgres.url)
  return async () => {
    await postgres.stop()
    await rm(dataDir, { recursive: true })
  }
}

/** A run that was killed leaves its server behind; the folder's name has the run's process id. */
async function removeDeadRuns() {
  for (const name of (await readdir(tmpdir())).filter(name => name.startsWith(PREFIX))) {
    const dataDir = join(tmpdir(), name)
    const pid = Number(name.slice(PREFIX.length).split('-')[0])
    const owner = await stat(dataDir).then(
      folder => folder.uid,
      () => null,
    )
    if (owner !== (process.getuid?.() ?? 0) || (await isAlive(pid))) continue
    await stopEmbeddedPostgres(dataDir)
    await rm(dataDir, { recursive: true, force: true })
  }
}
