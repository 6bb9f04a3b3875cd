/**
 * Gives this process a wall clock that is wrong: by `CLOCK_AHEAD` milliseconds from the start, and by what its parent says in a message from then on.
 * What nobody can set (timers, `performance.now`) goes on. To be imported before anything that reads the time.
 */
const RealDate = Date
let ahead = Number(process.env.CLOCK_AHEAD ?? 0)
const now = (): number => RealDate.now() + ahead

globalThis.Date = new Proxy(RealDate, {
  get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new RealDate(now()).toString(),
})

process.on('message', (milliseconds: number) => {
  ahead = milliseconds
  process.send?.(ahead)
})
