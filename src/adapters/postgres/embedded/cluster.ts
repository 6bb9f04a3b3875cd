import { createHash, randomBytes } from 'node:crypto'
import { chmod, chown, cp, lstat, mkdir, open, readFile, realpath, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { StartupError } from '../../../kernel/startup-error.ts'
import { type Account, accountsOfOwner, accountsToTry, mayRun, mayWrite, runAs } from './accounts.ts'
import { type Binaries, program } from './binaries.ts'

/** Where a cluster goes that its account cannot reach inside the data folder. */
const ELSEWHERE = '/var/lib/darkroom'
/** `lower()` and pg_trgm know more than ASCII only with a UTF-8 `lc_ctype`, whose name varies; it cannot be changed later. */
const CTYPE: Partial<Record<NodeJS.Platform, string>> = { linux: 'C.UTF-8', darwin: 'en_US.UTF-8' }

/** A cluster on disk: its folder, who runs it, with which binaries. */
export type Cluster = { folder: string; account: Account; native: string }
/** What we remember beside a cluster's own files: the password of its superuser and the port it last had. */
export type Access = { password: string; port: number }

/** The superuser of the cluster and the database in it. */
export const USER = 'darkroom'

/** The cluster's folder, through the link that stands for one elsewhere; null when the data folder has none yet. */
export async function clusterFolder(dataDir: string): Promise<string | null> {
  const path = join(dataDir, 'postgres')
  if (!(await exists(path))) return null
  return realpath(path).catch(() => {
    throw new StartupError(
      `${path} leads to a folder that is gone: restore that folder, or set DATA_DIR to another one to start empty`,
    )
  })
}

/**
 * Finds the cluster of a data folder, or makes one: in the data folder, or, if no account that PostgreSQL runs under may enter
 * there, under /var/lib/darkroom with a link to it. A kill in the middle leaves nothing half-made.
 *
 * @param durable false skips the syncing to disk, for tests
 * @throws StartupError when it is of another version or cannot be made
 */
export async function openCluster(dataDir: string, binaries: Binaries, durable: boolean): Promise<Cluster> {
  const folder = await clusterFolder(dataDir)
  return folder ? existing(folder, binaries) : create(dataDir, binaries, durable)
}

export async function readAccess(folder: string): Promise<Access> {
  const path = join(folder, 'darkroom.json')
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Access
  } catch {
    throw new StartupError(
      `${path}, which has the password of the embedded PostgreSQL, is missing or damaged: restore it from a backup`,
    )
  }
}

/** Replaces what is remembered, whole. */
export async function writeAccess(folder: string, access: Access): Promise<void> {
  const next = join(folder, 'darkroom.json.new')
  await writeFile(next, JSON.stringify(access), { mode: 0o600, flush: true })
  await rename(next, join(folder, 'darkroom.json'))
}

async function existing(folder: string, binaries: Binaries): Promise<Cluster> {
  const { uid, gid } = await stat(folder)
  const accounts = await accountsOfOwner(uid, gid)
  if (accounts.length > 0) await checkVersion(folder, binaries)
  for (const account of accounts) {
    const native = (await mayWrite(account, folder)) && (await reachable(account, binaries))
    if (native) return { folder, account, native }
  }
  throw new StartupError(
    `${folder} belongs to user ${uid}, as whom PostgreSQL cannot run here: start as that user, or set DATABASE_URL`,
  )
}

async function checkVersion(folder: string, binaries: Binaries) {
  const version = (await readFile(join(folder, 'PG_VERSION'), 'utf8').catch(() => 'an unknown version')).trim()
  const [ours] = binaries.version.split('.')
  if (version === ours) return
  throw new StartupError(
    `The folder ${folder} was made by PostgreSQL ${version} and this release brings ${ours}: set DATA_DIR to another folder, or start the release that made it.`,
  )
}

async function create(dataDir: string, binaries: Binaries, durable: boolean): Promise<Cluster> {
  const hash = createHash('sha256')
    .update(await realpath(dataDir))
    .digest('hex')
    .slice(0, 16)
  const accounts = await accountsToTry()
  for (const home of accounts.length > 1 ? [dataDir, join(ELSEWHERE, hash)] : [dataDir]) {
    const cluster = await createIn(home, accounts, binaries, durable)
    if (!cluster) continue
    if (home !== dataDir) await symlink(cluster.folder, join(dataDir, 'postgres'))
    return cluster
  }
  throw new StartupError(
    'PostgreSQL refuses root, and there is neither `unshare` nor a user `postgres` to run it: start as another user, or set DATABASE_URL',
  )
}

async function createIn(home: string, accounts: Account[], binaries: Binaries, durable: boolean): Promise<Cluster | null> {
  const folder = join(home, 'postgres')
  const work = join(home, 'postgres.new')
  await mkdir(home, { recursive: true })
  if (home.startsWith(ELSEWHERE)) for (const ours of [ELSEWHERE, home]) await chmod(ours, 0o755) // whatever the umask
  if (await exists(folder)) return existing(folder, binaries) // made, but killed before it was linked
  await rm(work, { recursive: true, force: true })
  await mkdir(work, { mode: 0o700 })
  for (const account of accounts) {
    await chown(work, account.ids.uid ?? process.getuid?.() ?? -1, account.ids.gid ?? process.getgid?.() ?? -1)
    const native = (await mayWrite(account, work)) && (await reachable(account, binaries))
    if (!native) continue
    await initialise(work, account, native, durable)
    await rename(join(work, 'cluster'), folder)
    await rm(work, { recursive: true })
    if (durable) await sync(home)
    return { folder: await realpath(folder), account, native }
  }
  await rm(work, { recursive: true })
  return null
}

async function initialise(work: string, account: Account, native: string, durable: boolean) {
  const cluster = join(work, 'cluster')
  const passwordFile = join(work, 'password')
  const password = randomBytes(24).toString('hex')
  await writeFile(passwordFile, password, { mode: 0o600 })
  await chown(passwordFile, account.ids.uid ?? process.getuid?.() ?? -1, account.ids.gid ?? process.getgid?.() ?? -1)
  const locale = [
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    `--lc-ctype=${CTYPE[process.platform] ?? 'C'}`,
  ]
  const access = ['--username', USER, '--auth=scram-sha-256', `--pwfile=${passwordFile}`]
  const flags = ['--encoding=UTF8', ...locale, ...access, ...(durable ? [] : ['--no-sync'])]
  await runAs(account, program(native, 'initdb'), [...flags, '--pgdata', cluster]).catch((error: Error & { stderr?: string }) => {
    throw new StartupError(
      `PostgreSQL cannot set up its files in ${work}: ${error.stderr?.trim().split('\n').at(-1) || error.message}`,
    )
  })
  await writeAccess(cluster, { password, port: 0 })
}

/** The binaries as the account can run them: where npm put them, or, in a closed home, a copy. */
async function reachable(account: Account, { native, version }: Binaries): Promise<string | null> {
  if (await mayRun(account, program(native, 'postgres'))) return native
  if (account.ids.uid === undefined) return null
  const copy = join(ELSEWHERE, `postgresql-${version}`)
  if (!(await exists(copy))) {
    const work = `${copy}.${process.pid}`
    await cp(native, work, { recursive: true, verbatimSymlinks: true })
    await rename(work, copy).catch(async error => {
      if (!(await exists(copy))) throw error
      await rm(work, { recursive: true }) // another process was first
    })
  }
  return (await mayRun(account, program(copy, 'postgres'))) ? copy : null
}

/** Makes a rename in the folder last through a power failure. Windows cannot open folders. */
async function sync(folder: string) {
  if (process.platform === 'win32') return
  const handle = await open(folder)
  await handle.sync()
  await handle.close()
}

const exists = (path: string) =>
  lstat(path).then(
    () => true,
    () => false,
  )
