import type { Commands } from '../commands/context.ts'
import { claimEmail, holdHandle, releaseEmail, releaseHandle } from '../commands/names.ts'
import { AccountErased, account, accountStream, SignedUp, UsernameChanged } from '../domain/accounts/account.ts'
import type { EventOf, Recorded } from '../kernel/events.ts'
import type { Actor } from '../kernel/execute.ts'
import type { EventStore } from '../kernel/ports/event-store.ts'
import type { ErasureMark, ErasuresSeen, KeyStore } from '../kernel/ports/key-store.ts'
import type { Mailer } from '../kernel/ports/mail.ts'
import { type Reaction, reaction } from '../kernel/projecting/consumers.ts'
import { credentialModels, credentialsOf } from '../reading/credentials.ts'
import { mediaFolder } from '../reading/pictures.ts'

type Deps = { readonly commands: Commands; readonly mail: Mailer }
type Handled = EventOf<typeof SignedUp | typeof UsernameChanged | typeof AccountErased>
type Of<Type extends Handled['type']> = Recorded<Extract<Handled, { type: Type }>>

const actorOf = ({ id, metadata }: Recorded<Handled>): Actor => ({
  id: null,
  sessionId: null,
  correlationId: metadata.correlationId,
  causationId: id,
})

/**
 * What an account's events bring about outside of its stream: its names, and all that its erasure removes. One reaction,
 * so that an erasure comes after everything before it. Nothing of it is ever too late.
 */
export const keepAccounts = (deps: Deps): Reaction =>
  reaction<Handled>()({
    name: 'keep_accounts',
    events: [SignedUp, UsernameChanged, AccountErased],
    maxAge: Number.POSITIVE_INFINITY,
    async react(event) {
      switch (event.type) {
        case 'SignedUp':
          return signedUp(deps, event)
        case 'UsernameChanged':
          return usernameChanged(deps, event)
        case 'AccountErased':
          return erased(deps, event)
      }
    },
  })

/** Confirms the name where a crash kept the sign-up from it, claims the address, and tells its holder where it is somebody else's. */
async function signedUp({ commands, mail }: Deps, event: Of<'SignedUp'>): Promise<void> {
  const { accountId, handle, reservationId, emailKey, emailClaimedUntil } = event.data
  const actor = actorOf(event)
  await holdHandle(commands, handle, { accountId, reservationId }, actor)
  if (emailKey === null || emailClaimedUntil === null) return
  const claim = await claimEmail(commands, emailKey, accountId, emailClaimedUntil, actor)
  if (claim !== null && claim.holderId !== accountId) await tellHolder({ commands, mail }, claim, event.at)
}

/** Milliseconds after which a mail would only puzzle. Its key, of a day, is known for longer (`Mail.key`). */
const mailIsLate = 24 * 3_600_000

/** Once a day at most, whatever strangers do. */
async function tellHolder(
  { commands, mail }: Deps,
  { holderId, position }: { holderId: string; position: number },
  at: string,
): Promise<void> {
  if (commands.reading.clock.now() - Date.parse(at) > mailIsLate) return
  await commands.settled(position, credentialModels)
  const holder = await credentialsOf(commands.reading, holderId)
  if (holder === null || holder.email === null) return
  await mail.send({
    key: `email_taken ${holderId} ${at.slice(0, 10)}`,
    accountId: holderId,
    to: holder.email,
    subject: 'Somebody signed up with your address',
    text: `Somebody signed up with this address, which your account ${holder.username} has already.

If it was you: sign in as ${holder.username}. If it was not, there is nothing to do: the address stays yours.`,
  })
}

async function usernameChanged({ commands }: Deps, event: Of<'UsernameChanged'>): Promise<void> {
  const { accountId, handle, reservationId, previousHandle, previousReservationId } = event.data
  await holdHandle(commands, handle, { accountId, reservationId }, actorOf(event))
  await releaseHandle(commands, previousHandle, { accountId, reservationId: previousReservationId }, actorOf(event))
}

/** The key goes before the pictures: an upload that is still under way fails without it, and removes its own. */
async function erased({ commands, mail }: Deps, event: Of<'AccountErased'>): Promise<void> {
  const { execute, keys, storage } = commands
  const { accountId, handle, reservationId, emailKey } = event.data
  const actor = actorOf(event)
  await keys.destroy([accountId])
  const pictures = new Set<string>()
  for await (const key of storage.list(mediaFolder(accountId))) pictures.add(key.split('/')[2]!)
  await storage.remove(mediaFolder(accountId))
  await mail.forget(accountId)
  await releaseHandle(commands, handle, { accountId, reservationId }, actor)
  if (emailKey !== null) await releaseEmail(commands, emailKey, accountId, actor)
  await execute(account, accountStream(accountId), { type: 'CompleteErasure', mediaRemoved: pictures.size }, actor)
}

/** Sign-ups are looked at too: they come more often, so that a mark is seldom far behind. */
const lookedAt = [AccountErased.type, SignedUp.type]

/**
 * Destroys the key of everybody who was ever erased, again: a restored backup of the keys brings nobody back. For the start, before anything is read.
 * Reads what the log has behind the keys' own mark or, where the log has not the mark's event in its place, all of it.
 */
export async function destroyErasedKeys(
  store: Pick<EventStore, 'subscribe' | 'head'>,
  keys: KeyStore & ErasureMark,
): Promise<void> {
  const seen = await keys.erasuresSeen()
  // A reader waits for a position that the log has yet to reach.
  const within = seen !== null && seen.position <= (await store.head())
  if (!within || !(await destroyBehind(store, keys, seen))) await destroyBehind(store, keys, null)
}

/** False where the mark is not of this log. */
async function destroyBehind(
  store: Pick<EventStore, 'subscribe'>,
  keys: KeyStore & ErasureMark,
  seen: ErasuresSeen | null,
): Promise<boolean> {
  const stop = new AbortController()
  let last = null as ErasuresSeen | null
  try {
    // From before the marked event on: only if it comes first, with the id it had, this log is the marked one up to there.
    for await (const { events, caughtUp } of store.subscribe({
      after: seen?.before ?? 0,
      types: lookedAt,
      signal: stop.signal,
    })) {
      for (const { position, id } of events) {
        if (last === null && seen !== null && (position !== seen.position || id !== seen.id)) return false
        last = { before: last?.position ?? seen?.before ?? 0, position, id }
      }
      const erased = events.filter(({ type }) => type === AccountErased.type)
      await keys.destroy(erased.map(({ data }) => (data as { accountId: string }).accountId))
      if (caughtUp) break
    }
  } finally {
    stop.abort()
  }
  if (last !== null && last.position !== seen?.position) await keys.sawErasures(last)
  return last !== null
}
