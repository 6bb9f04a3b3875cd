import { rm } from 'node:fs/promises'
import type { TestProject } from 'vitest/node'
import { startEmbeddedPostgres } from '../../src/adapters/postgres/embedded.ts'
import { type Given, givenEngines, runName } from '../engines/engines.ts'
import { removeLeftFolders, temporaryFolder } from './temporary.ts'

/** One PostgreSQL for the whole run: an embedded one in a temporary folder, or with `npm run test:engines` (it names the run) the one given. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  await removeLeftFolders()
  const { TEST_RUN, TEST_SAID = null } = process.env
  const run = TEST_RUN ?? runName()
  const given: Given = TEST_RUN === undefined ? {} : givenEngines(process.env)
  if (given.DATABASE_URL !== undefined) {
    project.provide('engines', { run, given, postgresUrl: given.DATABASE_URL, said: TEST_SAID })
    return undefined
  }
  const dataDir = await temporaryFolder()
  const settings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }
  const postgres = await startEmbeddedPostgres({ dataDir, log: () => {}, settings })
  project.provide('engines', { run, given, postgresUrl: postgres.url, said: TEST_SAID })
  return async () => {
    await postgres.stop()
    await rm(dataDir, { recursive: true })
  }
}
