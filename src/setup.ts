import { randomBytes, randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { access, link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type DestinationStream, type Logger, pino } from 'pino'
import { startEmbeddedPostgres } from './adapters/postgres/embedded.ts'
import type { Config } from './config.ts'
import { loggable } from './kernel/http/problems.ts'
import { lockDataDir } from './kernel/lock-data-dir.ts'
import { StartupError } from './kernel/startup-error.ts'

export type Setup = {
  readonly log: Logger
  readonly databaseUrl: string
  readonly secret: string
  readonly mediaDir: string
  /** Ends what was started for it: last of all. */
  close(): Promise<void>
}

/** What the environment left open: the data folder, the embedded database, the secret. @throws StartupError */
export async function setUp(config: Config): Promise<Setup> {
  const log = openLog(config)
  // Processes on one database may share their folder (for pictures, and the secret); two on one embedded cluster may not.
  const unlock = await claimed(config.dataDir, config.databaseUrl === null)
  try {
    const secret = config.secret ?? (await keptSecret(config.dataDir))
    const mediaDir = join(config.dataDir, 'media')
    if (config.databaseUrl !== null) return { log, databaseUrl: config.databaseUrl, secret, mediaDir, close: unlock }
    const postgres = await startEmbeddedPostgres({ dataDir: config.dataDir, log: message => log.info({}, message) })
    return {
      log,
      databaseUrl: postgres.url,
      secret,
      mediaDir,
      async close() {
        await postgres.stop()
        await unlock()
      },
    }
  } catch (error) {
    await unlock()
    throw error
  }
}

/** Of an error only what `loggable` leaves: the database's own details quote rows. */
const serializers = { err: (error: unknown) => (error instanceof Error ? loggable(error) : error) }

/** One JSON line an event, to standard error unless told; standard output is for people. */
export const openLog = (
  { logLevel }: Pick<Config, 'logLevel'>,
  destination: DestinationStream = pino.destination({ dest: 2, sync: true }),
): Logger => pino({ level: logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers }, destination)

async function claimed(dataDir: string, alone: boolean): Promise<() => Promise<void>> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 })
    if (alone) return await lockDataDir(dataDir)
    await access(dataDir, constants.W_OK)
    return async () => {}
  } catch (error) {
    if (error instanceof StartupError) throw error
    throw new StartupError(
      `The data folder ${dataDir} cannot be written (${(error as NodeJS.ErrnoException).code ?? String(error)}): set DATA_DIR to one that can.`,
      {
        cause: error,
      },
    )
  }
}

/** The secret of the default setup: made once, for its owner alone, whole or not at all. */
export async function keptSecret(dataDir: string): Promise<string> {
  const file = join(dataDir, 'secret')
  const found = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw new StartupError(`The secret in ${file} cannot be read (${error.code}): give it to this user, or set SECRET.`, {
      cause: error,
    })
  })
  if (found !== null) return found.trim()
  const draft = join(dataDir, `.secret-${randomUUID()}`)
  const handle = await open(draft, 'wx', 0o600)
  try {
    await handle.writeFile(`${randomBytes(32).toString('base64url')}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  // A link does not overwrite: of two that start at once one wins, and both use its secret.
  await link(draft, file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await rm(draft)
  return (await readFile(file, 'utf8')).trim()
}
