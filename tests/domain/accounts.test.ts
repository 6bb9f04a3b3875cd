import { describe, expect, it } from 'vitest'
import {
  AccountErased,
  AccountTypeChanged,
  AvatarAbandoned,
  AvatarChanged,
  account,
  ErasureCompleted,
  PasswordRehashed,
  ProfileChanged,
  SignedUp,
  SignUpAbandoned,
  UsernameChangeAbandoned,
  UsernameChanged,
} from '../../src/domain/accounts/account.ts'
import { isCommonPassword } from '../../src/domain/accounts/common-passwords.ts'
import { isReserved } from '../../src/domain/accounts/reserved.ts'
import { given } from '../support/domain.ts'

const accountId = 'ada'
const signUp = {
  accountId,
  handle: 'h1',
  reservationId: 'r1',
  emailKey: 'e1',
  emailClaimedUntil: '2026-01-08T12:00:00.000Z',
  username: 'ada',
  email: 'ada@example.org',
  passwordHash: 'hash',
  profile: { displayName: 'Ada' },
}
const signedUp = SignedUp(signUp)
const abandoned = SignUpAbandoned({ accountId })
const erased = AccountErased({ accountId, erasureId: 'x1', handle: 'h1', reservationId: 'r1', emailKey: 'e1' })
const renamed = UsernameChanged({
  accountId,
  username: 'lovelace',
  handle: 'h2',
  reservationId: 'r2',
  previousHandle: 'h1',
  previousReservationId: 'r1',
})

describe('signing up', () => {
  it('makes the account', () =>
    given(account)
      .when({ type: 'SignUp', ...signUp })
      .then([signedUp]))
  it('is refused once its name was taken over', () =>
    given(account, abandoned)
      .when({ type: 'SignUp', ...signUp })
      .then('unavailable'))
  it('can be abandoned before it happened', () =>
    given(account).when({ type: 'AbandonName', accountId, reservationId: 'r1' }).then([abandoned]))
  it('cannot be abandoned once it happened', () =>
    given(account, signedUp).when({ type: 'AbandonName', accountId, reservationId: 'r1' }).then([]))
})

describe('a username', () => {
  it('changes, and says which tenure ends', () =>
    given(account, signedUp)
      .when({ type: 'ChangeUsername', username: 'lovelace', handle: 'h2', reservationId: 'r2' })
      .then([renamed]))
  it('does not change to what it is', () =>
    given(account, signedUp).when({ type: 'ChangeUsername', username: 'ada', handle: 'h1', reservationId: 'r9' }).then([]))
  it('does not change by a reservation that was taken over', () => {
    const gone = UsernameChangeAbandoned({ accountId, reservationId: 'r2' })
    given(account, signedUp).when({ type: 'AbandonName', accountId, reservationId: 'r2' }).then([gone])
    given(account, signedUp, gone)
      .when({ type: 'ChangeUsername', username: 'lovelace', handle: 'h2', reservationId: 'r2' })
      .then('username_taken')
  })
  it('is not taken over once it is the account’s', () =>
    given(account, signedUp, renamed).when({ type: 'AbandonName', accountId, reservationId: 'r2' }).then([]))
  it('of before is known to be gone', () =>
    given(account, signedUp, renamed)
      .when({ type: 'AbandonName', accountId, reservationId: 'r1' })
      .then([UsernameChangeAbandoned({ accountId, reservationId: 'r1' })]))
})

describe('a profile', () => {
  it('keeps what changed alone', () =>
    given(account, signedUp)
      .when({ type: 'ChangeProfile', changes: { displayName: 'Ada', bio: 'Light' } })
      .then([ProfileChanged({ accountId, changes: { bio: 'Light' } })]))
  it('clears with null', () =>
    given(account, signedUp)
      .when({ type: 'ChangeProfile', changes: { displayName: null, bio: null } })
      .then([ProfileChanged({ accountId, changes: { displayName: null } })]))
  it('goes private and back', () => {
    const goneprivate = AccountTypeChanged({ accountId, type: 'private' })
    given(account, signedUp).when({ type: 'ChangeType', accountType: 'private' }).then([goneprivate])
    given(account, signedUp, goneprivate).when({ type: 'ChangeType', accountType: 'private' }).then([])
  })
  it('does not show a picture again that it replaced', () => {
    const first = AvatarChanged({ accountId, mediaId: 'm1', previousMediaId: null })
    const second = AvatarChanged({ accountId, mediaId: 'm2', previousMediaId: 'm1' })
    given(account, signedUp, first).when({ type: 'ChangeAvatar', mediaId: 'm2' }).then([second])
    given(account, signedUp, first, second).when({ type: 'ChangeAvatar', mediaId: 'm1' }).then('media_not_found')
  })
  it('abandons a picture that it never showed, for good', () => {
    const shown = AvatarChanged({ accountId, mediaId: 'm1', previousMediaId: null })
    const gone = AvatarAbandoned({ accountId, mediaId: 'm2' })
    given(account, signedUp, shown).when({ type: 'AbandonAvatar', mediaId: 'm2' }).then([gone])
    given(account, signedUp, shown).when({ type: 'AbandonAvatar', mediaId: 'm1' }).then([])
    given(account, signedUp, erased).when({ type: 'AbandonAvatar', mediaId: 'm2' }).then([])
    given(account, signedUp, shown, gone).when({ type: 'ChangeAvatar', mediaId: 'm2' }).then('media_not_found')
  })
  it('keeps a newer hash of the password', () =>
    given(account, signedUp)
      .when({ type: 'RehashPassword', passwordHash: 'newer' })
      .then([PasswordRehashed({ accountId, passwordHash: 'newer' })]))
})

describe('an erasure', () => {
  it('happens once', () => {
    given(account, signedUp).when({ type: 'Erase', erasureId: 'x1' }).then([erased])
    given(account, signedUp, erased).when({ type: 'Erase', erasureId: 'x2' }).then([])
  })
  it('ends everything but its own completion', () => {
    given(account, signedUp, erased)
      .when({ type: 'ChangeProfile', changes: { bio: 'Light' } })
      .then('not_found')
    given(account, signedUp, erased)
      .when({ type: 'CompleteErasure', mediaRemoved: 2 })
      .then([ErasureCompleted({ accountId, erasureId: 'x1', mediaRemoved: 2 })])
  })
  it('is of the name that the account has then', () =>
    given(account, signedUp, renamed)
      .when({ type: 'Erase', erasureId: 'x1' })
      .then([AccountErased({ accountId, erasureId: 'x1', handle: 'h2', reservationId: 'r2', emailKey: 'e1' })]))
  it('is nobody’s who is not there', () => given(account).when({ type: 'Erase', erasureId: 'x1' }).then('not_found'))
})

describe('what is refused', () => {
  it.each(['password', 'Password1', 'PASSWORD123!', '12345678', 'qwertyuiop', 'aaaaaaaaaa', 'dragondragon', 'iloveyou2024'])(
    '%s',
    password => expect(isCommonPassword(password)).toBe(true),
  )
  it.each(['correct horse battery staple', 'a long and winding password', 'dragonfly-9', 'Tr0ub4dor&3'])('not %s', password =>
    expect(isCommonPassword(password)).toBe(false),
  )
  it('names that are paths', () => {
    for (const name of ['admin', 'api', 'me', 'p', 'openapi.json']) expect(isReserved(name)).toBe(true)
    expect(isReserved('ada')).toBe(false)
  })
})
