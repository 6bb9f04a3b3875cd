import { type ChildProcess, execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export type Told = { readonly code: number | NodeJS.Signals; readonly output: string }

/** The operator's tool in a process of its own. `done` answers its exit code, or the signal that ended it, and what it wrote to both streams. */
export function startTool(
  environment: Readonly<Record<string, string>>,
  ...args: readonly string[]
): { readonly child: ChildProcess; readonly done: Promise<Told> } {
  const { PATH = '', HOME = '' } = process.env
  const cwd = fileURLToPath(new URL('../../', import.meta.url))
  const { promise, resolve } = Promise.withResolvers<Told>()
  const env = { PATH, HOME, ...environment }
  const child = execFile(process.execPath, ['start.mjs', 'src/cli.ts', ...args], { cwd, env }, (error, stdout, stderr) =>
    resolve({ code: error === null ? 0 : (error.signal ?? Number(error.code)), output: stdout + stderr }),
  )
  return { child, done: promise }
}
