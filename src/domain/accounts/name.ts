import { decider, streamName } from '../../kernel/decider.ts'
import { type EventsOf, eventType } from '../../kernel/events.ts'
import type { AccountId, Id } from '../../kernel/ids.ts'

/** A unique name, by its HMAC, so that the log holds none in clear: a stream of its own, always written at exact revisions. */
export const handleStream = (hmac: string): string => streamName('handle', hmac)
export const emailStream = (hmac: string): string => streamName('email', hmac)

/** One attempt to have a name, never used again: whether it came to be is asked of the account, and an old one releases nothing new. */
export type ReservationId = Id<'reservation' | 'account'>

type Tenure = { accountId: AccountId; reservationId: ReservationId }

const NameReserved = eventType<
  'NameReserved',
  Tenure & { at: string /** ISO; null: until it is held or taken over */; until: string | null }
>('NameReserved')
const NameHeld = eventType<'NameHeld', Tenure>('NameHeld')
const NameReleased = eventType<'NameReleased', Tenure>('NameReleased')

export const nameEvents = [NameReserved, NameHeld, NameReleased] as const
export { NameHeld, NameReleased, NameReserved }
export type NameEvent = EventsOf<typeof nameEvents>

export type NameState =
  | { status: 'free' }
  | ({ status: 'reserved'; at: string; until: string | null } & Tenure)
  | ({ status: 'held' } & Tenure)

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
  /** Decides nothing where the name is another's: look at the state. `inPlaceOf`: a reservation that is proven never to come to be. */
  | ({ type: 'Reserve'; at: string; until: string | null; inPlaceOf?: ReservationId } & Tenure)
  | ({ type: 'Hold' } & Tenure)
  | ({ type: 'Release' } & Tenure)

function decide(command: NameCommand, state: NameState): NameEvent[] {
  const { accountId, reservationId } = command
  const mine = state.status !== 'free' && state.reservationId === reservationId
  switch (command.type) {
    case 'Reserve': {
      const { at, until, inPlaceOf } = command
      if (mine) return []
      const abandoned = state.status === 'reserved' && state.reservationId === inPlaceOf
      const lapsed = state.status === 'reserved' && state.until !== null && state.until <= at
      return state.status === 'free' || abandoned || lapsed ? [NameReserved({ accountId, reservationId, at, until })] : []
    }
    case 'Hold':
      return mine && state.status === 'reserved' ? [NameHeld({ accountId, reservationId })] : []
    case 'Release':
      return mine ? [NameReleased({ accountId, reservationId })] : []
  }
}

export const name = decider<NameState, NameCommand, NameEvent>({ initial, evolve, decide })
