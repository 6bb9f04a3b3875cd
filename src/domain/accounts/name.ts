import { decider, streamName } from '../../kernel/decider.ts'
import { type EventsOf, eventType } from '../../kernel/events.ts'
import type { AccountId } from '../../kernel/ids.ts'
import { refuse } from '../../kernel/problem.ts'

/** A unique name, by its HMAC, so that the log holds none in clear: a stream of its own, always written at exact revisions. */
export const handleStream = (hmac: string): string => streamName('handle', hmac)
export const emailStream = (hmac: string): string => streamName('email', hmac)

const NameReserved = eventType<'NameReserved', { accountId: AccountId; /** ISO; null: until it is confirmed or taken over */ until: string | null }>('NameReserved')
const NameHeld = eventType<'NameHeld', { accountId: AccountId }>('NameHeld')
const NameReleased = eventType<'NameReleased', { accountId: AccountId }>('NameReleased')

export const nameEvents = [NameReserved, NameHeld, NameReleased] as const
export { NameHeld, NameReleased, NameReserved }
export type NameEvent = EventsOf<typeof nameEvents>

/** `at`: when it was reserved, for time permits to try a takeover. */
export type NameState =
  | { status: 'free' }
  | { status: 'reserved'; accountId: AccountId; until: string | null }
  | { status: 'held'; accountId: AccountId }

const initial: NameState = { status: 'free' }

function evolve(_: NameState, event: NameEvent): NameState {
  switch (event.type) {
    case 'NameReserved':
      return { status: 'reserved', ...event.data }
    case 'NameHeld':
      return { status: 'held', ...event.data }
    case 'NameReleased':
      return { status: 'free' }
  }
}

export type NameCommand =
  /** `inPlaceOf`: the holder whose sign-up or change is proven to be abandoned, or whose claim has lapsed. */
  | { type: 'Reserve'; accountId: AccountId; until: string | null; inPlaceOf?: AccountId }
  | { type: 'Hold'; accountId: AccountId }
  | { type: 'Release'; accountId: AccountId }

function decide(command: NameCommand, state: NameState): NameEvent[] {
  const { accountId } = command
  const mine = state.status !== 'free' && state.accountId === accountId
  switch (command.type) {
    case 'Reserve': {
      if (mine) return []
      const free = state.status === 'free' || (state.status === 'reserved' && state.accountId === command.inPlaceOf)
      return free ? [NameReserved({ accountId, until: command.until })] : refuse('username_taken', 'This name is taken: choose another.')
    }
    case 'Hold':
      if (!mine) return refuse('username_taken', 'This name is taken: choose another.')
      return state.status === 'held' ? [] : [NameHeld({ accountId })]
    case 'Release':
      return mine ? [NameReleased({ accountId })] : []
  }
}

export const name = decider<NameState, NameCommand, NameEvent>({ initial, evolve, decide })
