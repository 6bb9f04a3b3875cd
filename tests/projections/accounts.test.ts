import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  AccountErased,
  AccountTypeChanged,
  AvatarAbandoned,
  AvatarChanged,
  ErasureCompleted,
  PasswordRehashed,
  ProfileChanged,
  SignedUp,
  UsernameChanged,
} from '../../src/domain/accounts/account.ts'
import { accountsModel } from '../../src/projections/accounts/project.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'
import { projected } from '../support/projection.ts'

let kernel: TestKernel
beforeAll(async () => {
  kernel = await testKernel()
})
afterAll(() => kernel.close())

const id = (n: number): string => `0a000000-0000-4000-8000-00000000000${n}`
const [ada, bob, carol] = [id(1), id(2), id(3)]
const media = id(9)
const signedUp = (accountId: string, username: string | null) =>
  SignedUp({
    accountId,
    handle: `h ${username}`,
    reservationId: id(7),
    emailKey: `e ${username}`,
    emailClaimedUntil: '2026-01-08T12:00:00.000Z',
    username,
    email: username === null ? null : `${username}@example.org`,
    passwordHash: username === null ? null : 'hash',
    profile: username === null ? null : { displayName: username.toUpperCase(), birthDate: '1990-12-10' },
  })
const erasure = (accountId: string, erasureId: string) =>
  AccountErased({ accountId, erasureId, handle: 'h', reservationId: id(7), emailKey: null })

describe('accounts', () => {
  it('are what their events come to', async () => {
    const { accounts, credentials } = await projected(kernel.db, accountsModel, [
      signedUp(ada, 'ada'),
      signedUp(bob, 'bob'),
      ProfileChanged({ accountId: ada, changes: { bio: 'Light', displayName: null, birthDate: '1815-12-10' } }),
      AccountTypeChanged({ accountId: bob, type: 'private' }),
      AvatarChanged({ accountId: ada, mediaId: media, previousMediaId: null }),
      AvatarAbandoned({ accountId: ada, mediaId: id(8) }),
      UsernameChanged({
        accountId: ada,
        username: 'lovelace',
        handle: 'h2',
        reservationId: id(8),
        previousHandle: 'h',
        previousReservationId: id(7),
      }),
      ProfileChanged({ accountId: ada, changes: { bio: 'Light and shade' } }),
      PasswordRehashed({ accountId: ada, passwordHash: 'newer' }),
      AccountTypeChanged({ accountId: bob, type: 'personal' }),
    ])
    expect(accounts).toMatchObject([
      {
        id: ada,
        username: 'lovelace',
        display_name: null,
        bio: 'Light and shade',
        birth_date: '1815-12-10',
        type: 'personal',
        avatar_media_id: media,
        position: 1,
        revision: 8,
      },
      { id: bob, username: 'bob', display_name: 'BOB', type: 'personal', avatar_media_id: null, position: 2, revision: 9 },
    ])
    expect(credentials).toMatchObject([
      { account_id: ada, username: 'lovelace', email: 'ada@example.org', email_key: 'e ada', password_hash: 'newer' },
      { account_id: bob, username: 'bob', password_hash: 'hash' },
    ])
  })

  it('leave a receipt and nothing else when they are erased', async () => {
    const found = await projected(kernel.db, accountsModel, [
      signedUp(ada, 'ada'),
      signedUp(bob, 'bob'),
      ProfileChanged({ accountId: ada, changes: { bio: 'Light' } }),
      erasure(ada, id(5)),
      ErasureCompleted({ accountId: ada, erasureId: id(5), mediaRemoved: 3 }),
      signedUp(carol, 'ada'),
      erasure(carol, id(6)),
    ])
    expect(found.accounts!.map(row => row.id)).toEqual([bob])
    expect(found.credentials!.map(row => row.account_id)).toEqual([bob])
    expect(found.erasures).toMatchObject([
      { id: id(5), account_id: ada, media_removed: 3 },
      { id: id(6), account_id: carol, completed_at: null, media_removed: null },
    ])
  })

  it('whose words are gone are passed over', async () => {
    const found = await projected(kernel.db, accountsModel, [
      signedUp(ada, null),
      ProfileChanged({ accountId: ada, changes: null }),
      UsernameChanged({
        accountId: ada,
        username: null,
        handle: 'h2',
        reservationId: id(8),
        previousHandle: 'h',
        previousReservationId: id(7),
      }),
      PasswordRehashed({ accountId: ada, passwordHash: null }),
      erasure(ada, id(5)),
    ])
    expect([found.accounts, found.credentials]).toEqual([[], []])
    expect(found.erasures).toHaveLength(1)
  })
})
