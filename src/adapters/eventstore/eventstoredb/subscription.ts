import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises'
import {
  type AllStreamResolvedEvent,
  type AllStreamSubscription,
  type EventStoreDBClient,
  eventTypeFilter,
  type Filter,
  FORWARDS,
  type Position,
  START,
  streamNameFilter,
} from '@eventstore/db-client'
import type { LoggedEvent } from '../../../kernel/events.ts'
import type { Slice } from '../../../kernel/ports/event-store.ts'
import { collect, type Patience, readEnd, readHead } from './connection.ts'
import { EventStoreUnavailable, FellSilent } from './errors.ts'
import { toLogged, toNumber, toPosition } from './records.ts'

export type Following = {
  readonly client: EventStoreDBClient
  readonly namespace: string
  readonly after: number
  readonly types: readonly string[] | undefined
  readonly signal: AbortSignal
  readonly patience: Patience
}

const sliceEvents = 1_000
/** Events that the client reads ahead of the reader. */
const aheadEvents = 500
/**
 * Events looked through between two reports, by the bytes of log that are missing. Wide is quick far behind, but leaves what follows the last
 * report to the next one; live it is 1: each position passed is reported, or a token would wait for it.
 */
const windows = [
  { window: 4_096, beyond: 256 * 1024 },
  { window: 64, beyond: 16 * 1024 },
  { window: 1, beyond: 0 },
] as const

type AllEvent = NonNullable<AllStreamResolvedEvent['event']>
/** Put into the stream of events by ourselves, where the server said it. */
type Mark = { readonly checkpoint: number } | { readonly caughtUp: true }

/** Slices from `after` on, first through wide windows where much is missing, until it fails (throws) or the server ends it. */
export async function* follow(following: Following): AsyncGenerator<Slice> {
  const { client, patience } = following
  const end = await readHead(client, patience.reader)
  const head = end === null ? 0 : toNumber(end.commit)
  let after = following.after
  for (const { window, beyond } of windows) {
    if (window > 1 && head - after <= beyond) continue
    const caughtUpAt = yield* subscription({ ...following, after }, window)
    if (caughtUpAt === null) return
    after = caughtUpAt
  }
}

/** One subscription's life. Answers how far it came where the window can be narrowed, null where the server has ended it. */
async function* subscription(
  { client, namespace, after, types, signal, patience }: Following,
  window: number,
): AsyncGenerator<Slice, number | null> {
  const wanted = types === undefined ? null : new Set(types)
  let passed = after
  let checkpoint: number | null = null
  let live = false
  let told: Pick<Slice, 'passed' | 'caughtUp'> = { passed, caughtUp: false }
  let events: LoggedEvent[] = []
  const take = (event: AllEvent): void => {
    const position = toNumber(event.position.commit)
    if (position <= passed) return
    passed = position
    const logged = wanted === null || wanted.has(event.type) ? toLogged(event, namespace) : null
    if (logged !== null) events.push(logged)
  }
  const from = await resume(client, after, patience)
  if (from.event !== null) take(from.event)

  const reading = client.subscribeToAll(
    {
      fromPosition: from.position,
      requiresLeader: true,
      resolveLinkTos: false,
      filter: filter(namespace, types, window, (position, to) => to.push({ checkpoint: toNumber(position) } satisfies Mark)),
    },
    { highWaterMark: aheadEvents },
  )
  // The client emits errors also when nobody reads any more; one without a listener would end the process.
  reading.on('error', () => {})
  reading.on('caughtUp', () => reading.push({ caughtUp: true } satisfies Mark))
  const stop = (): void => {
    reading.destroy()
  }
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  const watch = new Watch(client, reading, patience)
  try {
    const items: AsyncIterable<AllStreamResolvedEvent | Mark> = reading
    for await (const item of items) {
      watch.heard()
      if ('checkpoint' in item) {
        checkpoint = item.checkpoint
        passed = Math.max(passed, checkpoint)
      } else if ('caughtUp' in item) {
        live = true
        // A checkpoint of the history stands before the last event looked at, which no other message tells of if it does not match.
        const last = window === 1 && checkpoint !== null ? await eventFrom(client, checkpoint, patience) : null
        if (last !== null) take(last)
      } else if (item.event !== undefined) take(item.event)
      // What has arrived belongs to one slice; messages reach the stream one by one, a turn lets those in that are there.
      if (events.length < sliceEvents) {
        if (reading.readableLength === 0) await turn()
        if (reading.readableLength > 0) continue
      }
      const caughtUp = live && window === 1 && reading.readableLength === 0
      if (events.length > 0 || passed > told.passed || caughtUp !== told.caughtUp) {
        told = { passed, caughtUp }
        const slice = { events, ...told }
        events = []
        yield slice
      }
      if (live && window > 1) return passed
      watch.waits(passed, live)
    }
    return null
  } finally {
    watch.end()
    signal.removeEventListener('abort', stop)
    // Leaving the loop ends the stream but not the call. One that never came about cannot be cancelled, and needs not.
    reading.unsubscribe().catch(() => {})
  }
}

/**
 * The event at a position, or the first one behind it; null where all that can be read stands before it.
 * @throws EventStoreUnavailable where there must be one, for a new leader may still be indexing, and where the log itself ends before the position
 */
async function eventFrom(client: EventStoreDBClient, position: number, { reader }: Patience): Promise<AllEvent | null> {
  const fromPosition = toPosition(position)
  const options = { direction: FORWARDS, fromPosition, maxCount: 1, resolveLinkTos: false, requiresLeader: true } as const
  const [next] = await collect(client.readAll(options), reader)
  if (next?.event !== undefined) return next.event
  const head = await readHead(client, reader)
  if (head !== null && toNumber(head.commit) >= position)
    throw new EventStoreUnavailable(`nothing can be read at position ${position} yet`)
  if (position > (await readEnd(client, reader))) throw new EventStoreUnavailable(`the log ends before position ${position}`)
  return null
}

/**
 * The event to ask from, so that nothing is skipped and nothing comes twice. The server takes the event at or behind the position asked for as
 * the one that the reader has, and begins with the next. At the position of an event that is right. `after` may also lie between two events: a
 * checkpoint of the history is the end of the last record before those looked at ({commit, prepare: 0}), and a scavenge may have removed the
 * event. There the next event would be lost; so it is read here, and is delivered by us where its position is behind `after`. Where `after` lies behind all
 * that can be read, the last of that is asked from: nothing stands between the two.
 */
async function resume(
  client: EventStoreDBClient,
  after: number,
  patience: Patience,
): Promise<{ position: Position | typeof START; event: AllEvent | null }> {
  if (after === 0) return { position: START, event: null }
  const event = await eventFrom(client, after, patience)
  if (event !== null) return { position: event.position, event }
  const head = await readHead(client, patience.reader)
  // Written meanwhile: begun behind it, it would be lost.
  if (head !== null && toNumber(head.commit) >= after) return resume(client, after, patience)
  return { position: head ?? START, event: null }
}

/** By stream where there is a namespace, else by type: the server takes one of the two. The events of the server itself ($…) are left out. */
function filter(
  namespace: string,
  types: readonly string[] | undefined,
  maxSearchWindow: number,
  checkpoint: (position: bigint, subscription: AllStreamSubscription) => void,
): Filter {
  const reporting = {
    maxSearchWindow,
    checkpointInterval: 1,
    checkpointReached: (subscription: AllStreamSubscription, { commit }: { commit: bigint }): void =>
      checkpoint(commit, subscription),
  }
  if (namespace !== '') return streamNameFilter({ ...reporting, prefixes: [namespace] })
  const names = types?.map(type => type.replace(/[^\w]/g, '\\$&')).join('|')
  return eventTypeFilter({ ...reporting, regex: names === undefined ? '^[^$]' : `^(?:${names})$` })
}

/**
 * Ends a subscription that stays silent although the log goes on: the server is frozen, or the last events were written while it went live and
 * do not match (those it never reports; a new subscription begins behind them).
 */
class Watch {
  readonly #ended = new AbortController()
  #messages = 0
  #waiting = true
  #passed = 0
  #live = false

  constructor(client: EventStoreDBClient, subscription: AllStreamSubscription, patience: Patience) {
    this.#run(client, patience).catch(error => {
      if (!this.#ended.signal.aborted) subscription.destroy(error)
    })
  }

  heard(): void {
    this.#messages++
    this.#waiting = false
  }

  waits(passed: number, live: boolean): void {
    this.#waiting = true
    this.#passed = passed
    this.#live = live
  }

  end(): void {
    this.#ended.abort()
  }

  async #run(client: EventStoreDBClient, patience: Patience): Promise<void> {
    let heard = -1
    let silent = 0
    for (;;) {
      await pause(patience.look, undefined, { signal: this.#ended.signal, ref: false })
      if (!this.#waiting || this.#messages !== heard) {
        heard = this.#messages
        silent = 0
        continue
      }
      const head = await readHead(client, patience.reader)
      const behind = head !== null && toNumber(head.commit) > this.#passed
      silent = behind && this.#waiting && this.#messages === heard ? silent + 1 : 0
      // Looking through the log from disk may take its time; live, an event is told in milliseconds.
      if (silent > (this.#live ? 1 : 20)) throw new FellSilent('a subscription fell silent')
    }
  }
}
