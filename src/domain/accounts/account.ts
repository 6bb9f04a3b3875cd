import { decider, streamName } from '../../kernel/decider.ts'
import { type EventsOf, eventType } from '../../kernel/events.ts'
import type { AccountId, MediaId } from '../../kernel/ids.ts'
import { notFound } from '../../kernel/problem.ts'

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
    emailKey: string | null
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

const UsernameChanged = eventType<'UsernameChanged', { accountId: AccountId; username: string | null; handle: string; previousHandle: string }>(
  'UsernameChanged',
  { personal: { username: 'accountId' } },
)

const AvatarChanged = eventType<'AvatarChanged', { accountId: AccountId; mediaId: MediaId | null; previousMediaId: MediaId | null }>('AvatarChanged')

const AccountTypeChanged = eventType<'AccountTypeChanged', { accountId: AccountId; type: AccountType }>('AccountTypeChanged')

/** The same password under a newer hash. */
const PasswordRehashed = eventType<'PasswordRehashed', { accountId: AccountId; passwordHash: string | null }>('PasswordRehashed', {
  personal: { passwordHash: 'accountId' },
})

/** From here on nothing of this account is shown to anybody; its key, media and rows follow. */
const AccountErased = eventType<'AccountErased', { accountId: AccountId; erasureId: string; handle: string; emailKey: string | null }>('AccountErased')

/** Key and media are destroyed. */
const ErasureCompleted = eventType<'ErasureCompleted', { accountId: AccountId; erasureId: string; mediaRemoved: number }>('ErasureCompleted')

export const accountEvents = [
  SignedUp,
  SignUpAbandoned,
  ProfileChanged,
  UsernameChanged,
  AvatarChanged,
  AccountTypeChanged,
  PasswordRehashed,
  AccountErased,
  ErasureCompleted,
] as const

export { AccountErased, AccountTypeChanged, AvatarChanged, ErasureCompleted, PasswordRehashed, ProfileChanged, SignedUp, SignUpAbandoned, UsernameChanged }

export type AccountEvent = EventsOf<typeof accountEvents>

export type AccountState = {
  status: 'none' | 'abandoned' | 'open' | 'erased' | 'erasure_completed'
  accountId: AccountId
  handle: string
  emailKey: string | null
  username: string | null
  type: AccountType
  avatar: MediaId | null
  profile: Partial<Profile>
  erasureId: string | null
}

const initial: AccountState = {
  status: 'none',
  accountId: '',
  handle: '',
  emailKey: null,
  username: null,
  type: 'personal',
  avatar: null,
  profile: {},
  erasureId: null,
}

function evolve(state: AccountState, event: AccountEvent): AccountState {
  switch (event.type) {
    case 'SignedUp': {
      const { accountId, handle, emailKey, username, profile } = event.data
      return { ...state, status: 'open', accountId, handle, emailKey, username, profile: profile ?? {} }
    }
    case 'SignUpAbandoned':
      return { ...state, status: 'abandoned' }
    case 'ProfileChanged':
      return { ...state, profile: { ...state.profile, ...event.data.changes } }
    case 'UsernameChanged':
      return { ...state, username: event.data.username, handle: event.data.handle }
    case 'AvatarChanged':
      return { ...state, avatar: event.data.mediaId }
    case 'AccountTypeChanged':
      return { ...state, type: event.data.type }
    case 'PasswordRehashed':
      return state
    case 'AccountErased':
      return { ...state, status: 'erased', erasureId: event.data.erasureId }
    case 'ErasureCompleted':
      return { ...state, status: 'erasure_completed' }
  }
}

export type AccountCommand =
  | ({ type: 'SignUp' } & (typeof SignedUp extends (data: infer Data) => unknown ? Data : never))
  | { type: 'AbandonSignUp'; accountId: AccountId }
  | { type: 'ChangeProfile'; changes: Partial<Profile> }
  | { type: 'ChangeUsername'; username: string; handle: string }
  | { type: 'ChangeAvatar'; mediaId: MediaId | null }
  | { type: 'ChangeType'; accountType: AccountType }
  | { type: 'RehashPassword'; passwordHash: string }
  | { type: 'Erase'; erasureId: string }
  | { type: 'CompleteErasure'; mediaRemoved: number }

function decide(command: AccountCommand, state: AccountState): AccountEvent[] {
  if (command.type === 'SignUp') {
    const { type: _, ...data } = command
    if (state.status === 'none') return [SignedUp(data)]
    if (state.status === 'open') return []
    throw notFound('account')
  }
  if (command.type === 'AbandonSignUp') return state.status === 'none' ? [SignUpAbandoned({ accountId: command.accountId })] : []
  const { accountId } = state
  if (command.type === 'CompleteErasure') {
    if (state.status !== 'erased') return []
    return [ErasureCompleted({ accountId, erasureId: state.erasureId!, mediaRemoved: command.mediaRemoved })]
  }
  if (command.type === 'Erase') {
    if (state.status === 'erased' || state.status === 'erasure_completed') return []
    if (state.status !== 'open') throw notFound('account')
    return [AccountErased({ accountId, erasureId: command.erasureId, handle: state.handle, emailKey: state.emailKey })]
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
      const { username, handle } = command
      return handle === state.handle ? [] : [UsernameChanged({ accountId, username, handle, previousHandle: state.handle })]
    }
    case 'ChangeAvatar': {
      const { mediaId } = command
      return mediaId === state.avatar ? [] : [AvatarChanged({ accountId, mediaId, previousMediaId: state.avatar })]
    }
    case 'ChangeType':
      return command.accountType === state.type ? [] : [AccountTypeChanged({ accountId, type: command.accountType })]
    case 'RehashPassword':
      return [PasswordRehashed({ accountId, passwordHash: command.passwordHash })]
  }
}

export const account = decider<AccountState, AccountCommand, AccountEvent>({ initial, evolve, decide })
