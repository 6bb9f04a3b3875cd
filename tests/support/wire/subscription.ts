import { randomUUID } from 'node:crypto'
import type { ReadReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js'
import { type ServerWritableStream, status } from '@grpc/grpc-js'
import type { WireLog } from './log.ts'
import { caughtUpMessage, checkpointMessage, confirmationMessage, eventMessage, placeOf, predicate } from './messages.ts'

export type Reading = ServerWritableStream<ReadReq, ReadResp>

const pageEvents = 32
const liveBuffer = 32

/** Lets a reader go that does not keep up. */
export function tooSlow(call: Reading): void {
  const details = 'Operation timed out: Consumer too slow to handle event while live. Client resubscription required.'
  call.emit('error', { code: status.ABORTED, details })
}

/**
 * A subscription to all of the log as 23.10 serves it (see its `Enumerators.AllSubscriptionFiltered`): history in pages, with a checkpoint behind
 * the last match or the page's beginning; then live through a buffer of 32, with a checkpoint of each event. What does not match and comes between
 * the two is never reported.
 * @param goingLive is called between the two
 */
export async function serveSubscription(
  call: Reading,
  log: WireLog,
  on: { wrote: () => void; goingLive: () => void },
): Promise<void> {
  let open = true
  let wake: () => void = () => {}
  let stop: () => void = () => {}
  const ended = new Promise<void>(resolve =>
    call
      .on('close', resolve)
      .on('cancelled', resolve)
      .on('error', () => resolve()),
  )
  void ended.then(() => {
    open = false
    stop()
    wake()
  })
  const write = async (message: ReadResp): Promise<void> => {
    if (message.hasEvent()) on.wrote()
    if (open && !call.write(message)) await Promise.race([new Promise(resolve => call.once('drain', resolve)), ended])
  }
  const filter = call.request.getOptions()!.getFilter()
  const window = filter?.hasMax() ? filter.getMax() : pageEvents
  const interval = window * (filter?.getCheckpointintervalmultiplier() ?? Number.POSITIVE_INFINITY)
  const wanted = predicate(filter)

  const from = placeOf(call.request)
  let next = from ?? { commit: 0, prepare: 0 }
  // Exclusive: the event at the place, or the first one behind it, is taken for the one that the reader has.
  if (from !== null) next = log.page(from, 1, Number.POSITIVE_INFINITY, event => log.readable(event)).next
  await write(confirmationMessage(randomUUID()))
  let counter = 0
  while (open) {
    const page = log.page(next, pageEvents, window, wanted)
    let place = next
    for (const event of page.events) {
      place = { commit: event.position, prepare: event.position }
      await write(eventMessage(event))
    }
    next = page.next
    counter += page.considered
    if (page.atEnd) break
    if (counter >= interval) {
      counter %= interval
      await write(checkpointMessage(place))
    }
  }
  if (!open) return

  on.goingLive()
  const begins = log.events.at(-1)?.position ?? -1
  const live: ReadResp[] = []
  stop = log.listen(event => {
    const messages = wanted(event) ? [eventMessage(event)] : []
    if (++counter >= interval) {
      counter = 0
      messages.push(checkpointMessage({ commit: event.position, prepare: event.position }))
    }
    if (live.length + messages.length > liveBuffer) tooSlow(call)
    else live.push(...messages)
    wake()
  })
  for (const event of log.page(next, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, wanted).events) {
    if (event.position <= begins) await write(eventMessage(event))
  }
  await write(caughtUpMessage())
  while (open) {
    const message = live.shift()
    if (message !== undefined) {
      await write(message)
      continue
    }
    await new Promise<void>(resolve => {
      wake = resolve
    })
  }
}
