import type { Picture } from '../../kernel/ports/imaging.ts'
import { Problem, type ProblemCode } from '../../kernel/problem.ts'
import { makePicture } from './picture.ts'
import type { ImageFormat } from './sniff.ts'

export type Job = { bytes: Uint8Array; format: ImageFormat }
export type Answer =
  | { type: 'ready' }
  | { type: 'picture'; picture: Picture; memory: number }
  | { type: 'refused'; code: ProblemCode; detail: string; memory: number }
  | { type: 'failed'; message: string; memory: number }

// A signal to the whole process group is the server's to handle: it drains, then ends its workers.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
process.on('disconnect', () => process.exit())

process.on('message', async (job: Job) => {
  const answer = await answerTo(job)
  process.send?.(answer satisfies Answer)
})
process.send?.({ type: 'ready' } satisfies Answer)

async function answerTo({ bytes, format }: Job): Promise<Answer> {
  try {
    const picture = await makePicture(bytes, format)
    return { type: 'picture', picture, memory: process.memoryUsage.rss() }
  } catch (error) {
    const memory = process.memoryUsage.rss()
    if (error instanceof Problem) return { type: 'refused', code: error.code, detail: error.message, memory }
    return { type: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error), memory }
  }
}
