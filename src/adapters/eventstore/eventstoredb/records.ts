import type { EventData, Position, RecordedEvent } from '@eventstore/db-client'
import type { LoggedEvent, Metadata, StoredEvent } from '../../../kernel/events.ts'
import { EventTooLarge } from '../../../kernel/ports/event-store.ts'

/** The server's limit for one append, all its events together (`MaxAppendSize`, 1 MiB unless configured). */
const maxAppendBytes = 1_048_576

/** The largest event: below the server's limit by more than its type and envelope can need. */
export const maxEventBytes = 1_000_000

/** A position of the server (a byte of the log, unsigned 64 bit) as the number that the house uses. */
export function toNumber(position: bigint): number {
  const number = Number(position)
  if (!Number.isSafeInteger(number)) throw new RangeError(`the log's position ${position} is past 2^53`)
  return number
}

/** The place of an event: what this engine writes has one position for commit and prepare. */
export const toPosition = (position: number): Position => ({ commit: BigInt(position), prepare: BigInt(position) })

/**
 * Events in the form of the client.
 * @throws EventTooLarge, and TypeError where data is not JSON: both must be found here, for within the client an oversized append rejects those
 * of others and a value without JSON ends the process
 */
export function toProposed(events: readonly StoredEvent[]): EventData[] {
  let total = 0
  const proposed = events.map(({ id, type, data, metadata }): EventData => {
    const texts = [JSON.stringify(data), JSON.stringify(metadata)]
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    if (bytes > maxEventBytes) throw new EventTooLarge(`${type} has ${bytes} bytes; the log takes ${maxEventBytes}.`)
    total += bytes + 2 * type.length
    return { id, contentType: 'application/json', type, data: data as Record<string, unknown>, metadata }
  })
  if (total > maxAppendBytes)
    throw new EventTooLarge(`${events.length} events have ${total} bytes; the log takes ${maxAppendBytes} at once.`)
  return proposed
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !(value instanceof Uint8Array)

/** A stream of a namespace: no category of ours has an underscore. Without a namespace a deployment must not take those for its own. */
const inNamespace = /^[^-]*_/

/**
 * An event as the kernel reads it; null where it is one of the server's own ($…), of another namespace, or one that Darkroom did not write.
 * @param commitPosition of the read, for servers before 22.6 that leave it out of the event
 */
export function toLogged(event: RecordedEvent, namespace: string, commitPosition?: bigint): LoggedEvent | null {
  const { id, streamId, revision, type, data, metadata, isJson, position } = event
  const commit = position?.commit ?? commitPosition
  if (type.startsWith('$') || streamId.startsWith('$')) return null
  if (namespace === '' ? inNamespace.test(streamId) : !streamId.startsWith(namespace)) return null
  if (!isJson || !isObject(data) || !isObject(metadata) || !('schemaVersion' in metadata) || commit === undefined) return null
  return {
    id,
    stream: streamId.slice(namespace.length),
    revision: toNumber(revision),
    position: toNumber(commit),
    type,
    data,
    metadata: metadata as Metadata,
  }
}
