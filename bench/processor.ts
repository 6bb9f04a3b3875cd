import { readdir, readFile } from 'node:fs/promises'

/** Microseconds of a tick of the kernel's accounts: 100 a second on every Linux. */
const tick = 10_000

/** What stands behind the name in /proc/<pid>/stat (see proc(5)); null where the process is gone. */
async function statOf(pid: number): Promise<string[] | null> {
  const text = await unlessGone(readFile(`/proc/${pid}/stat`, 'utf8'))
  return text === null ? null : text.slice(text.lastIndexOf(')') + 2).split(' ')
}

/** A process's parent; null where it is not told. */
export async function parentOf(pid: number): Promise<number | null> {
  const stat = await statOf(pid)
  return stat === null ? null : Number(stat[1])
}

/** What a process and all that it started took of the processor so far, in microseconds; null where that is not told (elsewhere than on Linux). */
export async function processorTime(pid: number): Promise<number | null> {
  const stat = await statOf(pid)
  if (stat === null) return null
  // Its own in user and system mode, and that of its children that have ended.
  let time = tick * stat.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0)
  for (const thread of (await unlessGone(readdir(`/proc/${pid}/task`))) ?? []) {
    const children = (await unlessGone(readFile(`/proc/${pid}/task/${thread}/children`, 'utf8'))) ?? ''
    for (const child of children.split(' ').filter(text => text !== '')) time += (await processorTime(Number(child))) ?? 0
  }
  return time
}

/** What a process holds of the memory, in bytes; null where that is not told (elsewhere than on Linux). */
export async function residentOf(pid: number): Promise<number | null> {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec((await unlessGone(readFile(`/proc/${pid}/status`, 'utf8'))) ?? '')?.[1]
  return kilobytes === undefined ? null : Number(kilobytes) * 1_024
}

/** Milliseconds of the machine's own clock, the same in every process. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6

/** Null where there is none: the process has ended. */
async function unlessGone<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(String((error as NodeJS.ErrnoException).code))) return null
    throw error
  }
}
