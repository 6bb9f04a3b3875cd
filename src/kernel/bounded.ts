import { setImmediate as turn } from 'node:timers/promises'
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

/**
 * Does once what several ask by the same key in one turn of the event loop. Nobody joins what has begun: it may have read already what has changed since.
 */
export function shared<T>(): (key: string, work: () => Promise<T>) => Promise<T> {
  const waiting = new Map<string, Promise<T>>()
  const begin = async (key: string, work: () => Promise<T>): Promise<T> => {
    await turn()
    waiting.delete(key)
    return work()
  }
  return (key, work) => {
    const joined = waiting.get(key) ?? begin(key, work)
    waiting.set(key, joined)
    return joined
  }
}
