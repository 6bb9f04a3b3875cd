import type { ReadModel } from '../kernel/projecting/model.ts'
import { type Progress, type RebuildParts, rebuild } from '../kernel/projecting/rebuild.ts'
import { type Verdict, verify } from '../kernel/projecting/verify.ts'

const print = (line: string): void => void process.stdout.write(`${line}\n`)

/** Makes read models anew, with a bar on a terminal and a line each. Returns the exit code. */
export async function rebuildAll(
  parts: RebuildParts,
  models: readonly ReadModel[],
  how: 'resume' | 'restart' = 'resume',
): Promise<number> {
  for (const model of models) {
    let shown: number | null = null
    const show = ({ events, from, position, target, seconds }: Progress): void => {
      if (shown === null && from > 0) print(`${model.name}: goes on from position ${from} of ${target}`)
      if (shown !== null && Date.now() - shown < 200) return
      shown = Date.now()
      if (!process.stdout.isTTY) return
      const part = target === 0 ? 1 : Math.min(1, position / target)
      const bar = '='.repeat(Math.round(30 * part)).padEnd(30)
      const left = position > from ? `${Math.ceil((seconds / (position - from)) * Math.max(0, target - position))} s left` : ''
      process.stdout.write(
        `\r\x1b[K${model.name.padEnd(16)} [${bar}] ${Math.floor(100 * part)} %  ${Math.round(events / Math.max(seconds, 0.001))} events/s  ${left} `,
      )
    }
    const { events, seconds } = await rebuild(parts, model, show, how)
    if (process.stdout.isTTY) process.stdout.write('\r\x1b[K')
    print(`${model.name}: ${events} events in ${seconds.toFixed(1)} s`)
  }
  return 0
}

/** Compares read models with the log, and makes those that differ anew where it is to heal. Returns the exit code. */
export async function verifyAll(parts: RebuildParts, models: readonly ReadModel[], heal: boolean): Promise<number> {
  let wrong = 0
  for (const model of models) {
    if (said(model, await verify(parts, model))) continue
    if (heal) {
      // From the beginning: what a rebuild left half made may hold the same fault.
      await rebuildAll(parts, [model], 'restart')
      if (said(model, await verify(parts, model), ' again')) continue
    }
    wrong++
  }
  if (wrong > 0)
    print(
      heal
        ? `${wrong} of ${models.length} read models differ from the log although they were just made from it: the fault is in their projection.`
        : `${wrong} of ${models.length} read models differ: verify --heal makes them anew.`,
    )
  return wrong > 0 ? 1 : 0
}

/** Tells how one stands. Returns whether it equals the log. */
function said({ name }: ReadModel, { position, rows, differences, more }: Verdict, again = ''): boolean {
  if (differences.length === 0) {
    print(`${name}: ${rows} rows${again} equal the log at position ${position}`)
    return true
  }
  print(`${name}: differs from the log at position ${position}`)
  for (const { table, side, row } of differences) print(`  ${table}, ${side}: ${JSON.stringify(row)}`)
  if (more > 0) print(`  and ${more} more`)
  return false
}
