import { setTimeout as pause } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import type { Codec } from './codec.ts'
import type { Decider } from './decider.ts'
import type { Event } from './events.ts'
import { type Clock, iso } from './ports/clock.ts'
import { type EventStore, EventTooLarge, noStream, WrongRevision } from './ports/event-store.ts'
import { KeyDestroyed } from './ports/key-store.ts'
import { notFound, Problem, refuse, unavailable } from './problem.ts'

/** Who does something, and within which request. */
export type Actor = {
  /** Null where nobody is signed in, and for the house itself. */
  readonly id: string | null
  readonly sessionId: string | null
  readonly correlationId: string
  readonly causationId?: string | null
}

export type Options = {
  /** HMAC of the body of the POST that makes this stream: a repeat with another body is refused. */
  readonly request?: string | undefined
  /** From `If-Match`: the revision that the client has seen. */
  readonly ifRevision?: number | undefined
}

export type Outcome<State, E extends Event> = {
  readonly state: State
  /** What was appended; empty where it was so already. */
  readonly events: readonly E[]
  readonly revision: number
  /** Of the stream's last event, 0 where there is none: what the consistency token stands for. */
  readonly position: number
}

export type Execute = <State, Command, E extends Event>(
  decider: Decider<State, Command, E>,
  stream: string,
  command: Command,
  actor: Actor,
  options?: Options,
) => Promise<Outcome<State, E>>

type Entry = {
  readonly state: unknown
  readonly revision: number
  readonly position: number
  readonly request: string | undefined
}

const maxAttempts = 20

/**
 * Makes the one way to write. Decides on the cached state, or as for a new stream where nothing is cached, and appends at exactly that
 * revision (reading first is what costs); on a conflict it reads from the leader and decides again. A decision that appends nothing counts
 * only if its state was read after the command arrived: a cache may be behind another node.
 * @param cacheSize streams whose state is kept
 */
export function createExecute(
  store: Pick<EventStore, 'read' | 'append'>,
  codec: Codec,
  clock: Clock,
  cacheSize = 50_000,
): Execute {
  const cache = new LRUCache<string, Entry>({ max: cacheSize })

  async function load<State, Command, E extends Event>(decider: Decider<State, Command, E>, stream: string): Promise<Entry> {
    const events = await codec.open<E>(await store.read(stream))
    const last = events.at(-1)
    if (last === undefined) {
      cache.delete(stream)
      return { state: decider.initial, revision: noStream, position: 0, request: undefined }
    }
    const entry = {
      state: events.reduce<State>((state, event) => decider.evolve(state, event as unknown as E), decider.initial),
      revision: last.revision,
      position: last.position,
      request: events[0]!.metadata.request,
    }
    cache.set(stream, entry)
    return entry
  }

  return async function execute<State, Command, E extends Event>(
    decider: Decider<State, Command, E>,
    stream: string,
    command: Command,
    actor: Actor,
    { request, ifRevision }: Options = {},
  ): Promise<Outcome<State, E>> {
    let entry: Entry = cache.get(stream) ?? { state: decider.initial, revision: noStream, position: 0, request: undefined }
    let fromLeader = false

    const decide = (): readonly E[] => {
      if (ifRevision !== undefined && ifRevision !== entry.revision) {
        refuse('version_conflict', `The revision is ${entry.revision}, not ${ifRevision}: read it again, then change it.`)
      }
      if (request !== undefined && entry.revision !== noStream && entry.request !== request) {
        refuse('idempotency_key_reused', 'This Idempotency-Key came before with another body.')
      }
      return decider.decide(command, entry.state as State)
    }

    for (let attempt = 1; ; attempt++) {
      let events: readonly E[] = []
      let refusal: Problem | null = null
      try {
        events = decide()
      } catch (error) {
        if (!(error instanceof Problem)) throw error
        refusal = error
      }
      if (events.length === 0) {
        if (fromLeader) {
          if (refusal !== null) throw refusal
          return { state: entry.state as State, events, revision: entry.revision, position: entry.position }
        }
        entry = await load(decider, stream)
        fromLeader = true
        continue
      }
      try {
        const stored = await codec.seal(events, {
          at: iso(clock.now()),
          actorId: actor.id,
          sessionId: actor.sessionId,
          correlationId: actor.correlationId,
          causationId: actor.causationId ?? null,
          ...(request !== undefined && entry.revision === noStream ? { request } : {}),
        })
        const { revision, position } = await store.append(stream, stored, entry.revision)
        const state = events.reduce<State>((before, event) => decider.evolve(before, event), entry.state as State)
        cache.set(stream, { state, revision, position, request: entry.revision === noStream ? request : entry.request })
        return { state, events, revision, position }
      } catch (error) {
        cache.delete(stream)
        if (error instanceof KeyDestroyed) throw notFound('account')
        if (error instanceof EventTooLarge) throw new Problem('payload_too_large', error.message)
        if (!(error instanceof WrongRevision)) throw error
        if (attempt >= maxAttempts) throw unavailable('Too many at once change this; try again.', 1, error)
        if (attempt > 2) await pause(Math.random() * 2 ** Math.min(attempt, 7))
        entry = await load(decider, stream)
        fromLeader = true
      }
    }
  }
}
