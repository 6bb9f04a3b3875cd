import { ErrorType } from '@eventstore/db-client'
import { type Problem, unavailable } from '../../../kernel/problem.ts'

/** EventStoreDB did not answer in time, or could not be reached; whether an append was written is unknown. */
export class EventStoreUnavailable extends Error {
  override readonly name = 'EventStoreUnavailable'
}

/** A subscription that told nothing although the log goes on, from a server that answers otherwise. */
export class FellSilent extends EventStoreUnavailable {}

/** gRPC: cancelled, unknown, deadline exceeded, resource exhausted, aborted, internal (a stream reset), unavailable. */
const transientCodes = new Set([1, 2, 4, 8, 10, 13, 14])
const transientTypes = new Set<unknown>([
  ErrorType.TIMEOUT,
  ErrorType.DEADLINE_EXCEEDED,
  ErrorType.UNAVAILABLE,
  ErrorType.CANCELLED,
  ErrorType.UNKNOWN,
])
/** What the client and Node throw without a type or a gRPC code. */
const transientMessages = /^Failed to discover|write after end|Premature close|ECONNREFUSED|ECONNRESET/

type Described = { readonly type?: unknown; readonly code?: unknown }

/**
 * Whether a repeat may succeed: the server is away, busy, changing its leader or slow. The client's errors have a type, a gRPC code, both,
 * or only a message (which may be empty), so all three are asked, the most telling one first.
 */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof EventStoreUnavailable) return true
  const { type, code } = error as Error & Described
  if (type === ErrorType.NOT_LEADER) return true
  if (typeof code === 'number') return transientCodes.has(code)
  // An answer to one append, "Could not recognize …": a request that it cannot read stays so, a server that is not ready does not.
  if (type === ErrorType.UNKNOWN) return !error.message.includes('BadRequest')
  return transientTypes.has(type) || transientMessages.test(error.message)
}

/** The client follows the leader by itself, over the connection that it has. */
export const isNotLeader = (error: unknown): boolean =>
  error instanceof Error && (error as Described).type === ErrorType.NOT_LEADER

/**
 * The reader subscribes anew, over the same connection, and nobody needs to hear of it: "Consumer too slow … resubscription required" (ordinary,
 * the server's live buffer holds 32 events), or events that do not match were written while the subscription went live.
 */
export const isOrdinary = (error: unknown): boolean =>
  error instanceof FellSilent || (error instanceof Error && (error as Described).code === 10)

/** The server answered, to this one request, that it could not: the connection is sound. */
export const isAnswer = (error: unknown): boolean => {
  if (!(error instanceof Error) || error instanceof EventStoreUnavailable) return false
  const { type, code } = error as Error & Described
  return type !== undefined && code === undefined
}

/** The log is away: 503, to be repeated. */
export const eventStoreProblem = (error: unknown): Problem | null =>
  isTransient(error) ? unavailable('The event log does not answer right now; try again.', 2, error) : null
