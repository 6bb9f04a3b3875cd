import { type AccountType, AccountTypeChanged, accountStream } from '../domain/accounts/account.ts'
import {
  Followed,
  type RelationshipCommand,
  type RelationshipState,
  relationship,
  relationshipStream,
  Unfollowed,
} from '../domain/relationships/relationship.ts'
import type { EventOf, Recorded } from '../kernel/events.ts'
import type { Actor } from '../kernel/execute.ts'
import type { AccountId } from '../kernel/ids.ts'
import type { EventStore } from '../kernel/ports/event-store.ts'
import { Problem, unavailable } from '../kernel/problem.ts'
import type { AccountViewer } from '../reading/accounts.ts'
import type { PageOf } from '../reading/page.ts'
import { needlessRequests } from '../reading/relationships.ts'
import { authorFacts, mustKnowAccount, ruleModels } from '../reading/rules.ts'
import type { Commands, SignedInActor } from './context.ts'

/** How it stands between the actor and the other after a command; `position` is for the consistency token. */
export type Related = { readonly otherId: AccountId; readonly viewer: AccountViewer; readonly position: number }

/** What one can do to, or about, another account. */
export type Relating = RelationshipCommand['type']

/** Those that take a right away: from the other, or from the actor themself. */
const narrowing: readonly Relating[] = ['Unfollow', 'RemoveFollower', 'Block', 'RemoveCloseFriend']

/**
 * Decides one command between the actor and the account of an id or username.
 * @throws Problem not_found where the account does not exist for the actor, validation_failed for oneself,
 * read_model_behind where a narrowing one is decided but not yet in effect everywhere: a repeat finishes it
 */
export async function relate(commands: Commands, actor: SignedInActor, type: Relating, ref: string): Promise<Related> {
  const { id: otherId, isPrivate } = await mustKnowAccount(commands.reading, actor.id, ref)
  const pair = { actorId: actor.id, otherId }
  const command: RelationshipCommand = type === 'Follow' ? { type, ...pair, otherIsPrivate: isPrivate } : { type, ...pair }
  const stream = relationshipStream(actor.id, otherId)
  let { state, position, events } = await commands.execute(relationship, stream, command, actor)
  // Going private is acknowledged once the model has it: who followed on an older fact is seen here, and asks instead.
  if (type === 'Follow' && !isPrivate && events.length > 0 && (await isPrivateNow(commands, actor, otherId))) {
    ;({ state, position, events } = await commands.execute(relationship, stream, { type: 'AskInstead', ...pair }, actor))
    await commands.settled(position, ruleModels)
  }
  if (narrowing.includes(type)) await commands.settled(position, ruleModels)
  return { otherId, viewer: viewerIn(state, actor.id, otherId), position }
}

const attempts = 10

/**
 * Looks again at a follow that its follower made on what they knew of the other: where the other was private already, in the log's order, it becomes a
 * request, as `relate` has it at once unless its process dies in between. A follow that ended or was accepted since is another one.
 * @param log where streams are read with their positions
 */
export async function askWhereItWasPrivate(
  commands: Commands,
  log: Pick<EventStore, 'read'>,
  { id, data: { followerId: actorId, followeeId: otherId }, position }: Recorded<EventOf<typeof Followed>>,
  actor: Actor,
): Promise<void> {
  const wasPrivate = (await log.read(accountStream(otherId))).findLast(
    event => event.type === AccountTypeChanged.type && event.position < position,
  )
  if ((wasPrivate?.data as { type: AccountType } | undefined)?.type !== 'private') return
  const stream = relationshipStream(actorId, otherId)
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const events = await log.read(stream)
    const last = events.findLast(
      ({ type, data }) =>
        (type === Followed.type || type === Unfollowed.type) && (data as { followerId: AccountId }).followerId === actorId,
    )
    if (last?.id !== id) return
    try {
      const ifRevision = events.at(-1)!.revision
      await commands.execute(relationship, stream, { type: 'AskInstead', actorId, otherId }, actor, { ifRevision })
      return
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== 'version_conflict') throw error
    }
  }
  throw unavailable('Too many at once change what is between these accounts; try again.')
}

/** Erased is as good as private: nothing of it is to be seen. */
const isPrivateNow = async ({ reading }: Commands, actor: SignedInActor, otherId: AccountId): Promise<boolean> =>
  (await authorFacts(reading, actor.id, [otherId])).get(otherId)?.isPrivate ?? true

const viewerIn = (state: RelationshipState, actorId: AccountId, otherId: AccountId): AccountViewer => ({
  follows: state.follows.includes(actorId),
  followsYou: state.follows.includes(otherId),
  requested: state.requests.includes(actorId),
  blocks: state.blocks.includes(actorId),
  closeFriend: state.closeFriends.includes(actorId),
})

const pageSize = 100

/** Accepts whoever still asks to follow an account that is not private any more. */
export async function acceptNeedlessRequests(commands: Commands, actor: SignedInActor): Promise<void> {
  const { execute, reading } = commands
  for (let after: number | null = null; ; ) {
    const { items, next }: PageOf<AccountId> = await needlessRequests(reading, actor.id, { limit: pageSize, after })
    for (const otherId of items) {
      // Private again while this was under way: whoever still asks is asked about.
      if (await isPrivateNow(commands, actor, actor.id)) return
      try {
        await execute(
          relationship,
          relationshipStream(actor.id, otherId),
          { type: 'AcceptRequest', actorId: actor.id, otherId },
          actor,
        )
      } catch (error) {
        // Taken back in the meantime.
        if (!(error instanceof Problem) || error.code !== 'not_found') throw error
      }
    }
    if (next === null) return
    after = next
  }
}
