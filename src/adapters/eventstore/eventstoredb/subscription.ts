import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises'
import {
  type AllStreamResolvedEvent,
  type AllStreamSubscription,
  type EventStoreDBClient,
  eventTypeFilter,
  type Filter,
  FORWARDS,
  type ReadPosition,
  START,
  streamNameFilter,
} from '@eventstore/db-client'
import type { LoggedEvent } from '../../../kernel/events.ts'
import type { Slice } from '../../../kernel/ports/event-store.ts'
import { collect, type Patience, readHead } from './connection.ts'
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
/** Events looked through between two reports while far behind. Live it is 1: each position passed is reported, or a token would wait for it. */
const wideWindow = 4_096
/** Bytes of log. Nearer to its end than this, what is missing is read with the window of 1. */
const near = 256 * 1024

/** Put into the stream of events by ourselves, where the server said it. */
type Mark = { readonly checkpoint: number } | { readonly caughtUp: true }

/**
 * One subscription's life: slices from `after` on until it fails (throws), the server ends it, or it has caught up with the wide window (then
 * the next one is near, and live).
 */
export async function* follow({ client, namespace, after, types, signal, patience }: Following): AsyncGenerator<Slice> {
  const wanted = types === undefined ? null : new Set(types)
  const logged = (event: AllStreamResolvedEvent['event']): LoggedEvent | null => {
    if (event === undefined || (wanted !== null && !wanted.has(event.type))) return null
    return toLogged(event, namespace)
  }
  const end = await readHead(client, patience.attempt)
  const head = end === null ? 0 : toNumber(end.commit)
  const wide = head - after > near
  const { from, first } = await resume(client, after, patience)

  let passed = after
  let live = false
  let told: Pick<Slice, 'passed' | 'caughtUp'> = { passed, caughtUp: false }
  let events: LoggedEvent[] = []
  const take = (event: NonNullable<AllStreamResolvedEvent['event']>): void => {
    const position = toNumber(event.position.commit)
    if (position <= passed) return
    passed = position
    const mine = logged(event)
    if (mine !== null) events.push(mine)
  }
  if (first !== undefined) take(first)

  const subscription = client.subscribeToAll(
    {
      fromPosition: from,
      requiresLeader: true,
      resolveLinkTos: false,
      filter: filter(namespace, types, wide ? wideWindow : 1, (position, to) =>
        to.push({ checkpoint: toNumber(position) } satisfies Mark),
      ),
    },
    { highWaterMark: aheadEvents },
  )
  // The client emits errors also when nobody reads any more; one without a listener would end the process.
  subscription.on('error', () => {})
  subscription.on('caughtUp', () => subscription.push({ caughtUp: true } satisfies Mark))
  const stop = (): void => {
    subscription.destroy()
  }
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  const watch = new Watch(client, subscription, patience)
  try {
    const items: AsyncIterable<AllStreamResolvedEvent | Mark> = subscription
    for await (const item of items) {
      watch.heard()
      if ('checkpoint' in item) passed = Math.max(passed, item.checkpoint)
      else if ('caughtUp' in item) {
        // All that was in the log when the subscription began has come by, and its head was read before that.
        passed = Math.max(passed, head)
        live = true
      } else if (item.event !== undefined) take(item.event)
      // What has arrived belongs to one slice; messages reach the stream one by one, a turn lets those in that are there.
      if (events.length < sliceEvents) {
        if (subscription.readableLength === 0) await turn()
        if (subscription.readableLength > 0) continue
      }
      const caughtUp = live && subscription.readableLength === 0
      if (events.length > 0 || passed > told.passed || caughtUp !== told.caughtUp) {
        told = { passed, caughtUp }
        const slice = { events, ...told }
        events = []
        yield slice
      }
      if (live && wide) return
      watch.waits(passed, live)
    }
  } finally {
    watch.end()
    signal.removeEventListener('abort', stop)
    // Leaving the loop ends the stream but not the call. One that never came about cannot be cancelled, and needs not.
    subscription.unsubscribe().catch(() => {})
  }
}

/**
 * From where to ask, so that nothing is skipped and nothing comes twice. The server takes the event at or behind the position asked for as the
 * one that the reader has, and begins with the next. At the position of an event that is right. `after` may also lie between two events: a
 * checkpoint reported while catching up is the end of the last record looked at ({commit, prepare: 0}), and a scavenge may have removed the
 * event. There the next event would be lost; so it is read here, is delivered by us, and its position is the one to go on from.
 */
async function resume(
  client: EventStoreDBClient,
  after: number,
  { attempt }: Patience,
): Promise<{ from: ReadPosition; first?: NonNullable<AllStreamResolvedEvent['event']> }> {
  if (after === 0) return { from: START }
  const options = {
    direction: FORWARDS,
    fromPosition: toPosition(after),
    maxCount: 1,
    resolveLinkTos: false,
    requiresLeader: true,
  } as const
  const [next] = await collect(client.readAll(options), attempt)
  const event = next?.event
  // Where there is none, one that came between this read and the subscription would be lost. A new leader may still be indexing.
  if (event === undefined) throw new EventStoreUnavailable(`the log ends before position ${after}`)
  return toNumber(event.position.commit) > after ? { from: event.position, first: event } : { from: event.position }
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
      const head = await readHead(client, patience.attempt)
      const behind = head !== null && toNumber(head.commit) > this.#passed
      silent = behind && this.#waiting && this.#messages === heard ? silent + 1 : 0
      // Looking through the log from disk may take its time; live, an event is told in milliseconds.
      if (silent > (this.#live ? 1 : 20)) throw new FellSilent('a subscription fell silent')
    }
  }
}
