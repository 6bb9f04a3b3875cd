import { execFile, type SpawnOptions } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** Whom PostgreSQL runs as. `wrapper` is a command put in front, `ids` are what the process is started with. */
export type Account = { wrapper: string[]; ids: { uid?: number; gid?: number } }

const self: Account = { wrapper: [], ids: {} }

export const isRoot = () => process.getuid?.() === 0

/**
 * The accounts to try, best first. PostgreSQL refuses root, so for root that is a user namespace, in which root's files appear as
 * somebody else's, and where namespaces are refused (many containers) a real user.
 */
export async function accountsToTry(): Promise<Account[]> {
  if (!isRoot()) return [self]
  const users = await Promise.all([namedUser('postgres'), namedUser('nobody')])
  return [...(await namespaced()), ...users.flat()]
}

/** The accounts that can serve a cluster owned by that user. */
export async function accountsOfOwner(uid: number, gid: number): Promise<Account[]> {
  if (!isRoot()) return uid === process.getuid?.() || process.platform === 'win32' ? [self] : []
  return uid === 0 ? namespaced() : [{ wrapper: [], ids: { uid, gid } }]
}

/** The program and arguments that run `program` under an account, and its options. The pid started is that of the program. */
export function as(account: Account, program: string, args: string[]): { file: string; args: string[]; options: SpawnOptions } {
  const [file = program, ...rest] = [...account.wrapper, program, ...args]
  return { file, args: rest, options: { ...account.ids, cwd: '/', env: environment(), windowsHide: true } }
}

/** Runs a program under an account to its end; rejects with an error that has `stderr` when it fails. */
export async function runAs(account: Account, program: string, args: string[]): Promise<void> {
  const { file, args: all, options } = as(account, program, args)
  await execute(file, all, { ...options, shell: false })
}

/** Whether the account may write to the folder. */
export const mayWrite = (account: Account, folder: string) =>
  account === self ? Promise.resolve(true) : succeeds(account, 'test', ['-w', folder])

/** Whether the account can run the program. */
export const mayRun = (account: Account, program: string) => succeeds(account, program, ['--version'])

const succeeds = (account: Account, program: string, args: string[]) =>
  runAs(account, program, args).then(
    () => true,
    () => false,
  )

/** The messages we look for are English; nothing else of our environment (secrets, PG*) is PostgreSQL's business. */
function environment() {
  const { PATH, SystemRoot } = process.env
  return { ...(PATH && { PATH }), ...(SystemRoot && { SystemRoot }), LC_ALL: 'C' }
}

/** `initdb` looks its user up by number, so root's files must appear as those of a user that this machine has; any will do. */
async function namespaced(): Promise<Account[]> {
  if (process.platform !== 'linux') return []
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map(line => Number(line.split(':')[2]))
  const id = users.find(uid => uid > 0)
  const wrapper = ['unshare', '--user', `--map-user=${id}`, `--map-group=${id}`]
  return [{ wrapper, ids: {} }]
}

async function namedUser(name: string): Promise<Account[]> {
  try {
    const ids = await Promise.all(['-u', '-g'].map(async flag => Number((await execute('id', [flag, name])).stdout)))
    return [{ wrapper: [], ids: { uid: ids[0], gid: ids[1] } }]
  } catch {
    return [] // no such user
  }
}
