import {
  AccountErased,
  type AccountEvent,
  AccountTypeChanged,
  AvatarAbandoned,
  AvatarChanged,
  ErasureCompleted,
  PasswordRehashed,
  type Profile,
  ProfileChanged,
  SignedUp,
  UsernameChangeAbandoned,
  UsernameChanged,
} from '../../domain/accounts/account.ts'
import type { Recorded } from '../../kernel/events.ts'
import { readModel } from '../../kernel/projecting/model.ts'
import type { Change } from '../../kernel/projecting/notes.ts'
import { rows } from '../../kernel/rows.ts'
import { type Db, type RawBuilder, sql } from '../../kernel/sql.ts'
import { tables } from './tables.ts'

type Event = Recorded<AccountEvent>

/** What a batch changes of one account: fields by their names, absent ones stay. */
type Patch = Partial<Profile> & { username?: string; type?: string; avatarMediaId?: string | null; passwordHash?: string }

function patchOf(event: Event): Patch {
  switch (event.type) {
    case 'SignedUp':
      return event.data.profile ?? {}
    case 'ProfileChanged':
      return event.data.changes ?? {}
    case 'UsernameChanged':
      return event.data.username === null ? {} : { username: event.data.username }
    case 'AvatarChanged':
      return { avatarMediaId: event.data.mediaId }
    case 'AccountTypeChanged':
      return { type: event.data.type }
    case 'PasswordRehashed':
      return event.data.passwordHash === null ? {} : { passwordHash: event.data.passwordHash }
    default:
      return {}
  }
}

/** Who the accounts are, how they sign in, and the receipts of those that were erased. */
export const accountsModel = readModel<AccountEvent>()({
  name: 'accounts',
  version: 3,
  // All that stand in an account's stream, for each moves its revision.
  events: [
    SignedUp,
    ProfileChanged,
    UsernameChanged,
    UsernameChangeAbandoned,
    AvatarChanged,
    AvatarAbandoned,
    AccountTypeChanged,
    PasswordRehashed,
    AccountErased,
    ErasureCompleted,
  ],
  tables,
  changes: changeOf,

  /** Nothing of an account comes after its erasure: first all that is new, then the changes put together, then what goes. */
  async project(batch, tx, t) {
    const patches = new Map<string, { id: string; patch: Patch; revision: number }>()
    for (const event of batch) {
      const id = event.data.accountId
      patches.set(id, { id, patch: { ...patches.get(id)?.patch, ...patchOf(event) }, revision: event.revision })
    }
    await signUps(batch, tx, t)
    await change([...patches.values()], tx, t)
    await erase(batch, tx, t)
  },
})

/** What others see of an account, and what the rules ask of it. */
function changeOf({ type, data: { accountId: key }, position }: Event): Change[] {
  const isSeen =
    type === 'ProfileChanged' ||
    type === 'UsernameChanged' ||
    type === 'AvatarChanged' ||
    type === 'AccountTypeChanged' ||
    type === 'AccountErased'
  return isSeen ? [{ key, owner: false, position }] : []
}

type Tables = { readonly [Name in keyof typeof tables]: RawBuilder<unknown> }

/** An erased person's words are null: there is no row to make. */
async function signUps(batch: readonly Event[], tx: Db, t: Tables): Promise<void> {
  const made = batch.flatMap(event =>
    event.type === 'SignedUp' && event.data.username !== null ? [{ ...event, ...event.data }] : [],
  )
  if (made.length === 0) return
  const account = { accountId: 'uuid', username: 'text', at: 'timestamptz', position: 'bigint' } as const
  await tx.run(sql`
    insert into ${t.accounts} (id, username, type, created_at, position, revision)
    select "accountId", username, 'personal', at, position, 0 from ${rows('made', account, made)} on conflict (id) do nothing`)
  const credentials = {
    accountId: 'uuid',
    username: 'text',
    email: 'text',
    emailKey: 'text',
    emailClaimedUntil: 'timestamptz',
    passwordHash: 'text',
  } as const
  await tx.run(sql`
    insert into ${t.credentials} (account_id, username, email, email_key, email_claimed_until, password_hash)
    select * from ${rows('made', credentials, made)} on conflict (account_id) do nothing`)
}

async function change(changes: readonly { id: string; patch: Patch; revision: number }[], tx: Db, t: Tables): Promise<void> {
  const columns = { id: 'uuid', patch: 'jsonb', revision: 'int' } as const
  const patched = (column: string, field: keyof Patch, type = 'text') =>
    sql`${sql.id(column)} = case when c.patch ? ${sql.lit(field)} then (c.patch->>${sql.lit(field)})::${sql.raw(type)} else a.${sql.id(column)} end`
  await tx.run(sql`
    update ${t.accounts} a set revision = c.revision, ${sql.join([
      patched('username', 'username'),
      patched('display_name', 'displayName'),
      patched('bio', 'bio'),
      patched('website', 'website'),
      patched('pronouns', 'pronouns'),
      patched('gender', 'gender'),
      patched('birth_date', 'birthDate', 'date'),
      patched('city', 'city'),
      patched('country', 'country'),
      patched('type', 'type'),
      patched('avatar_media_id', 'avatarMediaId', 'uuid'),
    ])}
    from ${rows('c', columns, changes)} where a.id = c.id`)
  const signingIn = changes.filter(({ patch }) => patch.username !== undefined || patch.passwordHash !== undefined)
  if (signingIn.length === 0) return
  await tx.run(sql`
    update ${t.credentials} a set ${sql.join([patched('username', 'username'), patched('password_hash', 'passwordHash')])}
    from ${rows('c', columns, signingIn)} where a.account_id = c.id`)
}

async function erase(batch: readonly Event[], tx: Db, t: Tables): Promise<void> {
  const erased = batch.flatMap(event => (event.type === 'AccountErased' ? [{ ...event.data, at: event.at }] : []))
  if (erased.length > 0) {
    const columns = { accountId: 'uuid', erasureId: 'uuid', at: 'timestamptz' } as const
    await tx.run(sql`
      with gone as (select * from ${rows('gone', columns, erased)}),
           accounts as (delete from ${t.accounts} using gone where id = gone."accountId"),
           credentials as (delete from ${t.credentials} c using gone where c.account_id = gone."accountId")
      insert into ${t.erasures} (id, account_id, requested_at)
      select "erasureId", "accountId", at from gone on conflict (id) do nothing`)
  }
  const completed = batch.flatMap(event => (event.type === 'ErasureCompleted' ? [{ ...event.data, at: event.at }] : []))
  if (completed.length > 0) {
    await tx.run(sql`
      update ${t.erasures} e set completed_at = done.at, media_removed = done."mediaRemoved"
      from ${rows('done', { erasureId: 'uuid', mediaRemoved: 'int', at: 'timestamptz' }, completed)} where e.id = done."erasureId"`)
  }
}
