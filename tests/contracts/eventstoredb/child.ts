import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/**
 * Runs the client as it comes in a process of its own, where it ends that process.
 * @returns what the process said last
 */
export async function endsBadly(scenario: 'burst' | 'bigint' | 'discovery'): Promise<string> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('raw-client.ts', import.meta.url)), scenario], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (part: Buffer) => {
    said += part.toString()
  })
  const code = await new Promise<number | null>(resolve => child.on('close', resolve))
  if (code === 0) throw new Error(`the client survived: ${said}`)
  return said
}
