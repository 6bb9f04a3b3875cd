import { unavailable } from './problem.ts'

/** Runs work, `atOnce` at a time, in the order it came. @throws Problem unavailable, saying `full`, where `queue` are waiting already */
export function bounded(
  atOnce: number,
  queue = Number.POSITIVE_INFINITY,
  full = 'Too much at this moment; try again.',
): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = []
  let running = 0
  return async work => {
    if (running >= atOnce) {
      if (waiting.length >= queue) throw unavailable(full, 2)
      await new Promise<void>(resolve => waiting.push(resolve)) // whoever ends hands its place on
    } else running++
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}
