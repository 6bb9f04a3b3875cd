import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { StartupError } from '../../src/kernel/startup-error.ts'
import { removeLeftFolders } from '../support/temporary.ts'
import { dropDatabases, type Given, givenEngines, prove, runName, type Said, standing, summary, variables } from './engines.ts'

/**
 * `npm run test:engines [-- arguments of vitest]`: the whole suite on the servers of EVENTSTORE_URL, DATABASE_URL and NATS_URL, in names that begin
 * with the run's. Whatever becomes of the tests, their databases are dropped.
 */
const print = (...lines: string[]): void => void process.stdout.write(lines.map(line => `${line}\n`).join(''))

/** Vitest, leader of a process group of its own: what tests start and a signal leaves behind can be ended with it. */
function startTests(given: Given, run: string, said: string): ChildProcess {
  const environment = { ...process.env, ...given, TEST_RUN: run, TEST_SAID: said }
  for (const name of variables) delete (environment as NodeJS.ProcessEnv)[`${name}_FILE`]
  return spawn(process.execPath, ['start.mjs', 'node_modules/vitest/vitest.mjs', 'run', ...process.argv.slice(2)], {
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    env: environment,
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
  })
}

function endGroup({ pid }: ChildProcess): void {
  try {
    process.kill(-pid!, 'SIGKILL')
  } catch (error) {
    // Nobody is left.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

async function main(): Promise<number> {
  const given = givenEngines(process.env)
  const run = runName()
  print(`Run ${run} of the tests:`, ...standing(given).map(line => `  ${line}`))
  await prove(given)
  const folder = await mkdtemp(join(tmpdir(), `${run}-`))
  const said = join(folder, 'said')
  await writeFile(said, '')
  const tests = startTests(given, run, said)
  let signalled: NodeJS.Signals | null = null
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      signalled ??= signal
      endGroup(tests)
    })
  try {
    const [code] = (await once(tests, 'exit')) as [number | null]
    endGroup(tests)
    const lines = (await readFile(said, 'utf8')).split('\n').filter(line => line !== '')
    print(
      `Run ${run} stood on:`,
      ...summary(
        given,
        lines.map(line => JSON.parse(line) as Said),
      ).map(line => `  ${line}`),
    )
    return signalled === null ? (code ?? 1) : 128 + constants.signals[signalled]
  } finally {
    if (given.DATABASE_URL !== undefined) {
      const left = await dropDatabases(given.DATABASE_URL, run)
      print(`  ${left.length === 0 ? 'No database of it is left.' : `Dropped what was left: ${left.join(', ')}.`}`)
    }
    if (given.EVENTSTORE_URL !== undefined) print(`  EventStoreDB keeps its streams: their names begin with ${run}.`)
    await removeLeftFolders()
    await rm(folder, { recursive: true })
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof StartupError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
