import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** What `postmaster.pid` says about the server of a cluster. */
export type Postmaster = { pid: number; port: number; ready: boolean }

/**
 * The running server of a cluster, or null. A pid file that outlived its server names a process that is gone, or by now another one.
 */
export async function runningPostmaster(cluster: string): Promise<Postmaster | null> {
  const lines = (await readIfThere(join(cluster, 'postmaster.pid')))?.split('\n')
  const pid = Number(lines?.[0])
  if (!lines || !Number.isInteger(pid) || pid <= 0 || !(await isPostgres(pid, cluster))) return null
  return { pid, port: Number(lines[3]), ready: lines[7]?.trim() === 'ready' }
}

/** Waits until the server of that pid takes connections: true, or has ended: false. Calls `waiting` every 10 s meanwhile. */
export async function untilReady(cluster: string, pid: number, waiting: () => void): Promise<boolean> {
  let since = Date.now()
  while (await isAlive(pid)) {
    const postmaster = await runningPostmaster(cluster)
    if (postmaster?.pid === pid && postmaster.ready) return true
    if (Date.now() - since > 10_000) {
      waiting()
      since = Date.now()
    }
    await sleep(10)
  }
  return false
}

/** Waits until the cluster's server of that pid is gone; false when it is still there after `timeout` ms. */
export async function untilGone(pid: number, cluster: string, timeout: number): Promise<boolean> {
  const deadline = Date.now() + timeout
  while (await isPostgres(pid, cluster)) {
    if (Date.now() > deadline) return false
    await sleep(10)
  }
  return true
}

/** Whether a process runs. One that has ended and that nobody has waited for yet (a zombie) does not. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error
  }
  if (process.platform !== 'linux') return true
  const stat = await readIfThere(`/proc/${pid}/stat`)
  return stat !== null && !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
}

/** Whether the process is the cluster's server. Only Linux tells what a process runs; elsewhere a living one is taken for it. */
export async function isPostgres(pid: number, cluster: string): Promise<boolean> {
  if (!(await isAlive(pid))) return false
  if (process.platform !== 'linux') return true
  const commandLine = await readIfThere(`/proc/${pid}/cmdline`)
  return commandLine?.split('\0').includes(cluster) ?? false
}

const readIfThere = (file: string) =>
  readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return null
    throw error
  })
