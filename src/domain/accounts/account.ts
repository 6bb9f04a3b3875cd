import { decider, streamName } from '../../kernel/decider.ts'
import { type EventsOf, eventType } from '../../kernel/events.ts'
import type { AccountId, MediaId } from '../../kernel/ids.ts'
import { notFound, refuse, unavailable } from '../../kernel/problem.ts'
import type { ReservationId } from './name.ts'

/** One person's (or brand's) account: who they say they are and how they sign in. */
export const accountStream = (accountId: AccountId): string => streamName('account', accountId)

export type Profile = {
  displayName: string | null
  bio: string | null
  website: string | null
  pronouns: string | null
  gender: string | null
  /** YYYY-MM-DD */
  birthDate: string | null
  city: string | null
  country: string | null
}

export type AccountType = 'personal' | 'private'

const SignedUp = eventType<
  'SignedUp',
  {
    accountId: AccountId
    /** What the name's stream goes by, for the names themselves never stand in the log. */
    handle: string
    reservationId: ReservationId
    emailKey: string | null
    /** ISO. An address that is not verified signs in until then. */
    emailClaimedUntil: string | null
    username: string | null
    email: string | null
    passwordHash: string | null
    profile: Partial<Profile> | null
  }
>('SignedUp', { personal: { username: 'accountId', email: 'accountId', passwordHash: 'accountId', profile: 'accountId' } })

/** The name that this sign-up had reserved was taken over before the account was there: it can never come to be. */
const SignUpAbandoned = eventType<'SignUpAbandoned', { accountId: AccountId }>('SignUpAbandoned')

const ProfileChanged = eventType<'ProfileChanged', { accountId: AccountId; changes: Partial<Profile> | null }>('ProfileChanged', {
  personal: { changes: 'accountId' },
})

const UsernameChanged = eventType<
  'UsernameChanged',
  {
    accountId: AccountId
    username: string | null
    handle: string
    reservationId: ReservationId
    previousHandle: string
    previousReservationId: ReservationId
  }
>('UsernameChanged', { personal: { username: 'accountId' } })

/** A name that was reserved for a change was taken over before the change: it can never come to be. */
const UsernameChangeAbandoned = eventType<'UsernameChangeAbandoned', { accountId: AccountId; reservationId: ReservationId }>(
  'UsernameChangeAbandoned',
)

const AvatarChanged = eventType<
  'AvatarChanged',
  { accountId: AccountId; mediaId: MediaId | null; previousMediaId: MediaId | null }
>('AvatarChanged')

/** A picture that was given to the account for its avatar was never shown, and can never be. */
const AvatarAbandoned = eventType<'AvatarAbandoned', { accountId: AccountId; mediaId: MediaId }>('AvatarAbandoned')

const AccountTypeChanged = eventType<'AccountTypeChanged', { accountId: AccountId; type: AccountType }>('AccountTypeChanged')

/** The same password under a newer hash. */
const PasswordRehashed = eventType<'PasswordRehashed', { accountId: AccountId; passwordHash: string | null }>(
  'PasswordRehashed',
  {
    personal: { passwordHash: 'accountId' },
  },
)

/** From here on nothing of this account is shown to anybody; its key, media and rows follow. */
const AccountErased = eventType<
  'AccountErased',
  { accountId: AccountId; erasureId: string; handle: string; reservationId: ReservationId; emailKey: string | null }
>('AccountErased')

/** Key and media are destroyed. */
const ErasureCompleted = eventType<'ErasureCompleted', { accountId: AccountId; erasureId: string; mediaRemoved: number }>(
  'ErasureCompleted',
)

export const accountEvents = [
  SignedUp,
  SignUpAbandoned,
  ProfileChanged,
  UsernameChanged,
  UsernameChangeAbandoned,
  AvatarChanged,
  AvatarAbandoned,
  AccountTypeChanged,
  PasswordRehashed,
  AccountErased,
  ErasureCompleted,
] as const

export {
  AccountErased,
  AccountTypeChanged,
  AvatarAbandoned,
  AvatarChanged,
  ErasureCompleted,
  PasswordRehashed,
  ProfileChanged,
  SignedUp,
  SignUpAbandoned,
  UsernameChangeAbandoned,
  UsernameChanged,
}

export type AccountEvent = EventsOf<typeof accountEvents>

export type AccountState = {
  status: 'none' | 'abandoned' | 'open' | 'erased' | 'erasure_completed'
  accountId: AccountId
  handle: string
  reservationId: ReservationId
  /** Reservations of names that were taken over: a change that still means to use one is refused. */
  abandoned: readonly ReservationId[]
  emailKey: string | null
  username: string | null
  type: AccountType
  avatar: MediaId | null
  /** Their files are removed or about to be. */
  formerAvatars: readonly MediaId[]
  passwordHash: string | null
  profile: Partial<Profile>
  erasureId: string | null
}

const initial: AccountState = {
  status: 'none',
  accountId: '',
  handle: '',
  reservationId: '',
  abandoned: [],
  emailKey: null,
  username: null,
  type: 'personal',
  avatar: null,
  formerAvatars: [],
  passwordHash: null,
  profile: {},
  erasureId: null,
}

function evolve(state: AccountState, event: AccountEvent): AccountState {
  switch (event.type) {
    case 'SignedUp': {
      const { accountId, handle, reservationId, emailKey, username, passwordHash, profile } = event.data
      return {
        ...state,
        status: 'open',
        accountId,
        handle,
        reservationId,
        emailKey,
        username,
        passwordHash,
        profile: profile ?? {},
      }
    }
    case 'SignUpAbandoned':
      return { ...state, status: 'abandoned' }
    case 'ProfileChanged':
      return { ...state, profile: { ...state.profile, ...event.data.changes } }
    case 'UsernameChanged': {
      const { username, handle, reservationId } = event.data
      return { ...state, username, handle, reservationId }
    }
    case 'UsernameChangeAbandoned':
      return { ...state, abandoned: [...state.abandoned, event.data.reservationId] }
    case 'AvatarChanged': {
      const { mediaId, previousMediaId } = event.data
      const formerAvatars = previousMediaId === null ? state.formerAvatars : [...state.formerAvatars, previousMediaId]
      return { ...state, avatar: mediaId, formerAvatars }
    }
    case 'AvatarAbandoned':
      return { ...state, formerAvatars: [...state.formerAvatars, event.data.mediaId] }
    case 'AccountTypeChanged':
      return { ...state, type: event.data.type }
    case 'PasswordRehashed':
      return { ...state, passwordHash: event.data.passwordHash }
    case 'AccountErased':
      return { ...state, status: 'erased', erasureId: event.data.erasureId, username: null, passwordHash: null, profile: {} }
    case 'ErasureCompleted':
      return { ...state, status: 'erasure_completed' }
  }
}

export type AccountCommand =
  | ({ type: 'SignUp' } & (typeof SignedUp extends (data: infer Data) => unknown ? Data : never))
  /** Makes sure that a reservation never comes to be, unless it has: then the state's `reservationId` is the one. */
  | { type: 'AbandonName'; accountId: AccountId; reservationId: ReservationId }
  | { type: 'ChangeProfile'; changes: Partial<Profile> }
  | { type: 'ChangeUsername'; username: string; handle: string; reservationId: ReservationId }
  | { type: 'ChangeAvatar'; mediaId: MediaId | null }
  /** Makes sure that a picture is never shown, unless it is: then it is the state's `avatar`. */
  | { type: 'AbandonAvatar'; mediaId: MediaId }
  | { type: 'ChangeType'; accountType: AccountType }
  | { type: 'RehashPassword'; passwordHash: string }
  | { type: 'Erase'; erasureId: string }
  | { type: 'CompleteErasure'; mediaRemoved: number }

function decide(command: AccountCommand, state: AccountState): AccountEvent[] {
  if (command.type === 'SignUp') {
    const { type: _, ...data } = command
    if (state.status === 'none') return [SignedUp(data)]
    if (state.status === 'open') return []
    throw unavailable('This took so long that somebody else took the name; try again.')
  }
  if (command.type === 'AbandonName') {
    const { accountId, reservationId } = command
    if (state.status === 'none') return [SignUpAbandoned({ accountId })]
    const settled = state.status !== 'open' || reservationId === state.reservationId || state.abandoned.includes(reservationId)
    return settled ? [] : [UsernameChangeAbandoned({ accountId, reservationId })]
  }
  const { accountId } = state
  if (command.type === 'AbandonAvatar') {
    const { mediaId } = command
    const settled = state.status !== 'open' || mediaId === state.avatar || state.formerAvatars.includes(mediaId)
    return settled ? [] : [AvatarAbandoned({ accountId, mediaId })]
  }
  if (command.type === 'CompleteErasure') {
    if (state.status !== 'erased') return []
    return [ErasureCompleted({ accountId, erasureId: state.erasureId!, mediaRemoved: command.mediaRemoved })]
  }
  if (command.type === 'Erase') {
    if (state.status === 'erased' || state.status === 'erasure_completed') return []
    if (state.status !== 'open') throw notFound('account')
    const { handle, reservationId, emailKey } = state
    return [AccountErased({ accountId, erasureId: command.erasureId, handle, reservationId, emailKey })]
  }
  if (state.status !== 'open') throw notFound('account')
  switch (command.type) {
    case 'ChangeProfile': {
      const changes = Object.fromEntries(
        Object.entries(command.changes).filter(([field, value]) => (state.profile[field as keyof Profile] ?? null) !== value),
      )
      return Object.keys(changes).length > 0 ? [ProfileChanged({ accountId, changes })] : []
    }
    case 'ChangeUsername': {
      const { username, handle, reservationId } = command
      if (handle === state.handle) return []
      if (state.abandoned.includes(reservationId))
        return refuse('username_taken', 'Somebody else took this name meanwhile: choose another.')
      const { handle: previousHandle, reservationId: previousReservationId } = state
      return [UsernameChanged({ accountId, username, handle, reservationId, previousHandle, previousReservationId })]
    }
    case 'ChangeAvatar': {
      const { mediaId } = command
      if (mediaId === state.avatar) return []
      if (mediaId !== null && state.formerAvatars.includes(mediaId)) {
        return refuse('media_not_found', 'This picture was replaced and is gone: upload it again.')
      }
      return [AvatarChanged({ accountId, mediaId, previousMediaId: state.avatar })]
    }
    case 'ChangeType':
      return command.accountType === state.type ? [] : [AccountTypeChanged({ accountId, type: command.accountType })]
    case 'RehashPassword':
      return command.passwordHash === state.passwordHash
        ? []
        : [PasswordRehashed({ accountId, passwordHash: command.passwordHash })]
  }
}

export const account = decider<AccountState, AccountCommand, AccountEvent>({ initial, evolve, decide })
