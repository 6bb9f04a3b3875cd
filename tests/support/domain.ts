import { expect } from 'vitest'
import type { Decider } from '../../src/kernel/decider.ts'
import type { Event } from '../../src/kernel/events.ts'
import { Problem, type ProblemCode } from '../../src/kernel/problem.ts'

type Decision<E> = readonly E[] | ProblemCode

/**
 * Given events, when a command, then events or a refusal; and deciding once more on the state after them gives nothing new: [] or a refusal.
 * ```ts
 * it('a second like is no event', () => given(like, Liked(mine)).when({ type: 'Like', ...mine }).then([]))
 * ```
 */
export const given = <State, Command, E extends Event>(
  decider: Decider<State, Command, E>,
  ...events: readonly NoInfer<E>[]
) => ({
  when: (command: Command) => ({
    // biome-ignore lint/suspicious/noThenProperty: given, when, then; nobody awaits it
    then(expected: Decision<E>): void {
      const evolve = (state: State, event: E): State => decider.evolve(state, event)
      const state = events.reduce(evolve, decider.initial)
      const decided = decide(decider, command, state)
      expect(decided).toEqual(expected)
      if (typeof decided === 'string') return
      const again = decide(decider, command, decided.reduce(evolve, state))
      if (typeof again !== 'string') expect(again, 'the same command decided twice').toEqual([])
    },
  }),
})

function decide<State, Command, E extends Event>(
  decider: Decider<State, Command, E>,
  command: Command,
  state: State,
): Decision<E> {
  try {
    return decider.decide(command, state)
  } catch (error) {
    if (error instanceof Problem) return error.code
    throw error
  }
}
