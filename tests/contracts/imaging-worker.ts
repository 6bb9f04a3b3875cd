/** A worker that does what the first byte of its job says, for what a decoder does only when it goes wrong. */
import type { Answer, Job } from '../../src/adapters/media/worker.ts'

const answers: Record<string, () => Answer | undefined> = {
  answer: () => ({
    type: 'picture',
    picture: { width: process.pid, height: 1, blurhash: '', renditions: [] },
    memory: process.memoryUsage.rss(),
  }),
  grow: () => ({ type: 'picture', picture: { width: process.pid, height: 1, blurhash: '', renditions: [] }, memory: 2 ** 40 }),
  refuse: () => ({ type: 'refused', code: 'media_unreadable', detail: 'No picture.', memory: 0 }),
  fail: () => ({ type: 'failed', message: 'a fault of ours', memory: 0 }),
  crash: () => void process.kill(process.pid, 'SIGSEGV'),
  leave: () => process.exit(3),
  hang: () => undefined,
}

process.on('message', ({ bytes }: Job) => {
  const order = Buffer.from(bytes).toString()
  if (order === 'spin') for (;;);
  const answer = answers[order]?.()
  if (answer !== undefined) process.send?.(answer)
})
process.send?.({ type: 'ready' } satisfies Answer)
