import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StartupError } from './startup-error.ts'

/** SQLITE_BUSY: another connection holds the lock. */
const BUSY = 5

/**
 * Takes the data folder for this process, so that two servers never share one; makes the folder when it is missing.
 *
 * The lock is SQLite's on an empty file, because that is the one lock of the operating system that Node offers: the kernel gives it
 * back when the process ends, however it ends, and it holds between containers that share the folder. `darkroom.pid` only tells
 * people who has it.
 *
 * @returns what gives the folder back
 * @throws StartupError when another process has it
 */
export async function lockDataDir(dataDir: string): Promise<() => Promise<void>> {
  await mkdir(dataDir, { recursive: true })
  const pidFile = join(dataDir, 'darkroom.pid')
  const lock = new DatabaseSync(join(dataDir, 'darkroom.lock'))
  try {
    lock.exec('begin exclusive')
  } catch (error) {
    lock.close()
    if (!(error instanceof Error && 'errcode' in error && error.errcode === BUSY)) throw error
    const pid = await readFile(pidFile, 'utf8').catch(() => 'unknown')
    throw new StartupError(
      `Process ${pid.trim()} already uses the data folder ${dataDir}: stop it, or set DATA_DIR to another folder`,
    )
  }
  await writeFile(pidFile, `${process.pid}\n`)
  return async () => {
    await rm(pidFile, { force: true })
    if (lock.isOpen) lock.close()
  }
}
