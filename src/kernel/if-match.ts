import type { Decider } from './decider.ts'
import type { Event } from './events.ts'
import type { Actor, Execute, Outcome } from './execute.ts'
import { Problem } from './problem.ts'

/**
 * Executes a change of what the client has seen at a revision. Where the thing is one revision further, and already as the change would have it, an
 * earlier try was decided and its answer lost, or was 503: a repeat finishes it, and nothing is written.
 * @param ifRevision from `If-Match`; any revision where it is absent
 * @throws Problem version_conflict where somebody changed it meanwhile
 */
export async function executeIfMatch<State, Command, E extends Event>(
  execute: Execute,
  decider: Decider<State, Command, E>,
  stream: string,
  command: Command,
  actor: Actor,
  ifRevision: number | undefined,
): Promise<Outcome<State, E>> {
  try {
    return await execute(decider, stream, command, actor, { ifRevision })
  } catch (conflict) {
    if (ifRevision === undefined || !(conflict instanceof Problem) || conflict.code !== 'version_conflict') throw conflict
    const already: Decider<State, Command, E> = {
      ...decider,
      decide(command, state) {
        if (decider.decide(command, state).length > 0) throw conflict
        return []
      },
    }
    return execute(already, stream, command, actor, { ifRevision: ifRevision + 1 })
  }
}
