import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isAlive } from '../../src/adapters/postgres/embedded/postmaster.ts'
import { stopEmbeddedPostgres } from '../../src/adapters/postgres/embedded.ts'

const PREFIX = 'darkroom-tests-'

/** A new folder of this process. Who makes it removes it; what a killed process leaves, the next run removes. */
export const temporaryFolder = (): Promise<string> => mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`))

/** Removes the folders of processes that are gone, and ends the servers left running in them. */
export async function removeLeftFolders(): Promise<void> {
  for (const name of (await readdir(tmpdir())).filter(name => name.startsWith(PREFIX))) {
    const folder = join(tmpdir(), name)
    const pid = Number(name.slice(PREFIX.length).split('-')[0])
    const owner = await stat(folder).then(
      ({ uid }) => uid,
      () => null,
    )
    if (owner !== (process.getuid?.() ?? 0) || (await isAlive(pid))) continue
    await stopEmbeddedPostgres(folder)
    await rm(folder, { recursive: true, force: true }).catch(error => {
      if (error.code !== 'EBUSY') throw error
      // A disk of its own that its test had under it.
      execFileSync('umount', [folder])
      return rm(folder, { recursive: true })
    })
  }
}
