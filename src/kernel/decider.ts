import type { Event } from './events.ts'

/** Decisions about one kind of stream: pure, idempotent (a command decided twice decides nothing the second time). */
export interface Decider<State, Command, E extends Event> {
  readonly initial: State
  evolve(state: State, event: E): State
  /** @throws Problem where the command is refused. "Already so" returns []. */
  decide(command: Command, state: State): readonly E[]
}

/** Names the types of a decider once. */
export const decider = <State, Command, E extends Event>(parts: Decider<State, Command, E>): Decider<State, Command, E> => parts

/** `{category}-{id}`; categories hold no `-`, so that the category is what stands before the first one. */
export const streamName = (category: string, id: string): string => `${category}-${id}`
