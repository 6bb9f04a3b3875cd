import type pg from 'pg'
import { passwords } from '../adapters/crypto/passwords.ts'
import { fillLog, type Placed } from '../adapters/eventstore/bulk.ts'
import { EmbeddedEventStore } from '../adapters/eventstore/embedded.ts'
import { closePool, openPool } from '../adapters/postgres/database.ts'
import type { PostgresKeyStore } from '../adapters/postgres/keys.ts'
import { openRoot } from '../adapters/postgres/root.ts'
import { type Foundation, migrations, openFoundation } from '../app.ts'
import { fanOutLimits } from '../commands/feed.ts'
import type { Config } from '../config.ts'
import { AccountTypeChanged, accountStream, SignedUp } from '../domain/accounts/account.ts'
import { handleStream, NameHeld, NameReserved } from '../domain/accounts/name.ts'
import { CommentAdded, commentStream } from '../domain/comments/comment.ts'
import { allEvents } from '../domain/events.ts'
import { FanOutStopped, fanOutStream } from '../domain/feed/fan-out.ts'
import { Liked, likeStream } from '../domain/likes/like.ts'
import { MediaAttached, MediaUploaded, mediaStream, type RenditionSize } from '../domain/media/media.ts'
import { hashtagsOf } from '../domain/posts/content.ts'
import { type PostContent, PostPublished, postStream } from '../domain/posts/post.ts'
import { Followed, relationshipStream } from '../domain/relationships/relationship.ts'
import { Codec } from '../kernel/codec.ts'
import type { Event } from '../kernel/events.ts'
import { type AccountId, type MediaId, newId } from '../kernel/ids.ts'
import { migrate } from '../kernel/migrate.ts'
import { iso } from '../kernel/ports/clock.ts'
import type { KeyStore } from '../kernel/ports/key-store.ts'
import { registerConsumers } from '../kernel/projecting/leases.ts'
import type { ReadModel } from '../kernel/projecting/model.ts'
import { Secrets } from '../kernel/secrets.ts'
import { sql } from '../kernel/sql.ts'
import { StartupError } from '../kernel/startup-error.ts'
import { emailKeyOf, handleOf } from '../reading/credentials.ts'
import type { Setup } from '../setup.ts'
import {
  captionOf,
  demoPassword,
  displayNameOf,
  personOf,
  pick,
  placesOfWorld,
  type Random,
  randomOf,
  remarks,
  skewed,
  subjects,
} from './invention.ts'
import { progressBar } from './progress.ts'

export type LoadSize = {
  readonly accounts: number
  readonly posts: number
  /** How many accounts each one follows. */
  readonly followees: number
  /** Likes of a post. */
  readonly likes: number
  /** Comments on a post; below 1 the share of posts that have one. */
  readonly comments: number
  /** How many pictures the n-th account has uploaded and not used. */
  readonly unused?: (n: number) => number
  /** How many more accounts there are that follow the first one, which posts one in a thousand then, and do nothing else. */
  readonly crowd?: number
  /** How many accounts the second one follows, if not as many as the others. */
  readonly eager?: number
}

/** What a demonstration of many accounts and posts has of the rest. */
export const usual = { followees: 100, likes: 1, comments: 0.5 } as const

/**
 * Sets up the database and fills its empty log; read models stand, empty, and are to be rebuilt next. The server must not run.
 * @param models all of them: those that the log alone does not make begin behind what is loaded
 * @returns what the log gives, to be closed
 * @throws StartupError where the log has events, or a server runs
 */
export async function openLoaded(
  { config, setup, models }: { config: Config; setup: Setup; models: readonly ReadModel[] },
  size: LoadSize,
): Promise<Foundation> {
  const secrets = new Secrets(setup.secret, config.secretPrevious)
  const foundation = await openFoundation({ ...setup, config, secrets, connections: { log: 3, models: 4 } })
  const pool = openPool(setup.databaseUrl, 1, error =>
    setup.log.warn({ error: String(error) }, 'a connection to the database broke'),
  )
  try {
    const { db, keys, store } = foundation
    await migrate(db, migrations, models)
    await openRoot(db, secrets)
    const [running] = await db.run(sql`select key from kernel.consumers where holder is not null and lease_until > now() limit 1`)
    if (running !== undefined) throw new StartupError('A server runs on this database: stop it, then load.')
    if (!(store instanceof EmbeddedEventStore))
      throw new StartupError('Only the log in Postgres can be loaded: unset EVENTSTORE_URL.')
    const hashing = passwords()
    const passwordHash = await hashing.hash(demoPassword).finally(() => hashing.close())
    const head = await load({ pool, keys, secrets, namespace: config.namespace, passwordHash }, size)
    await registerConsumers(
      db,
      models.map(({ key, kind, from }) => ({ key, from: kind === 'state' ? 'now' : from })),
      head,
    )
    return foundation
  } catch (error) {
    await foundation.close()
    throw error
  } finally {
    await closePool(pool)
  }
}

type LoadParts = {
  readonly pool: pg.Pool
  readonly keys: PostgresKeyStore
  readonly secrets: Secrets
  readonly namespace: string
  /** Of the password that everybody gets. */
  readonly passwordHash: string
}

export const loadedUsername = (n: number): string => `${personOf(randomOf(`name ${n}`)).join('.')}.${n}`

const day = 86_400_000
/** Days ago: nobody is mailed of what is that old, and no claim of an address stands. */
const [from, to] = [60, 10]
const perBatch = 2_000
const sizes: readonly RenditionSize[] = [
  { name: 'thumbnail', width: 150, height: 150 },
  { name: 'small', width: 320, height: 240 },
  { name: 'medium', width: 640, height: 480 },
  { name: 'large', width: 1_080, height: 810 },
  { name: 'full', width: 2_048, height: 1_536 },
]
const picture = {
  kind: 'image',
  width: 4_032,
  height: 3_024,
  renditions: [...sizes],
  blurhash: 'LEHV6nWB2yk8pyo0adR*.7kCMdnj',
} as const

/** Opens and makes nothing: what is loaded is sealed with keys that were made at once. */
const only = (keys: ReadonlyMap<string, Buffer>): KeyStore => {
  const absent = async (): Promise<never> => {
    throw new Error('the loader makes and destroys no single key')
  }
  return { create: absent, destroy: absent, forSealing: async () => keys, forOpening: async () => keys }
}

/** What the commands would have written, in bulk. Pictures have no files. All of it happened days ago, so that nobody is told of it. */
async function load({ pool, keys, secrets, namespace, passwordHash }: LoadParts, size: LoadSize): Promise<number> {
  const people = Array.from({ length: size.accounts + (size.crowd ?? 0) }, () => newId<'account'>())
  const made = new Map<string, Buffer>()
  for (let n = 0; n < people.length; n += 10_000)
    for (const [id, key] of await keys.createAll(people.slice(n, n + 10_000))) made.set(id, key)
  const codec = new Codec(allEvents, only(made))
  return fillLog(pool, namespace, network({ codec, people, secrets, passwordHash }, size))
}

type Making = {
  readonly codec: Codec
  readonly people: readonly AccountId[]
  readonly secrets: Secrets
  readonly passwordHash: string
}

async function* network({ codec, people, secrets, passwordHash }: Making, size: LoadSize): AsyncIterable<Placed[]> {
  const random = randomOf('network')
  const acts = 3 * people.length + size.posts * (1 + size.likes + size.comments)
  const start = Date.now() - from * day
  let acted = 0
  const clock = (): string => iso(start + Math.min(1, acted++ / acts) * (from - to) * day)
  let batch: Placed[] = []
  /** Events of one act, each with its stream and revision. */
  const act = async (actorId: AccountId, events: readonly (readonly [stream: string, revision: number, event: Event])[]) => {
    const metadata = { at: clock(), actorId, sessionId: null, correlationId: 'load', causationId: null }
    const sealed = await codec.seal(
      events.map(([, , event]) => event),
      metadata,
    )
    for (const [index, [stream, revision]] of events.entries()) batch.push({ stream, revision, event: sealed[index]! })
  }
  const full = (): boolean => batch.length >= perBatch
  const flush = (): Placed[] => {
    const flushed = batch
    batch = []
    return flushed
  }

  const signingUp = progressBar('accounts', people.length)
  for (const [n, accountId] of people.entries()) {
    const username = loadedUsername(n)
    const handle = handleOf({ secrets }, username)
    const tenure = { accountId, reservationId: newId<'reservation'>() }
    const email = `${username}@demo.example`
    const at = clock()
    const account = {
      ...{ ...tenure, handle, username, email, passwordHash, emailKey: emailKeyOf({ secrets }, email), emailClaimedUntil: at },
      profile: { displayName: displayNameOf(personOf(randomOf(`name ${n}`))) },
    }
    await act(accountId, [
      [handleStream(handle), 0, NameReserved({ ...tenure, at, until: null })],
      [accountStream(accountId), 0, SignedUp(account)],
      [handleStream(handle), 1, NameHeld(tenure)],
      ...Array.from({ length: size.unused?.(n) ?? 0 }, () => uploaded(newId<'media'>(), accountId)),
    ])
    signingUp.step()
    if (full()) yield flush()
  }
  signingUp.done()

  const followers: number[][] = people.map(() => [])
  const following = progressBar('follows', people.length)
  /** Streams that have an event already: of pairs that follow each other. */
  const pairs = new Set<number>()
  for (const [n, followerId] of people.entries()) {
    const count = n === 1 ? (size.eager ?? size.followees) : size.followees
    const wanted = n < size.accounts ? followeesOf(n, size.accounts, count, random) : [0]
    await act(
      followerId,
      [...wanted].map(other => {
        followers[other]!.push(n)
        const followeeId = people[other]!
        const pair = Math.min(n, other) * people.length + Math.max(n, other)
        const revision = pairs.delete(pair) ? 1 : 0
        if (revision === 0) pairs.add(pair)
        return [relationshipStream(followerId, followeeId), revision, Followed({ followerId, followeeId, accepted: false })]
      }),
    )
    following.step()
    if (full()) yield flush()
  }
  for (const [n, { length: count }] of followers.entries()) {
    const authorId = people[n]!
    if (count >= fanOutLimits.stopAt)
      await act(authorId, [[fanOutStream(authorId), 0, FanOutStopped({ authorId, followers: count })]])
    if (n % 20 === 7)
      await act(authorId, [[accountStream(authorId), 1, AccountTypeChanged({ accountId: authorId, type: 'private' })]])
  }
  following.done()

  const posting = progressBar('posts', size.posts)
  for (let n = 0; n < size.posts; n++) {
    const author = size.crowd !== undefined && n % 1_000 === 0 ? 0 : Math.floor(random() * size.accounts)
    const authorId = people[author]!
    const [postId, mediaId] = [newId<'post'>(), newId<'media'>()]
    await act(authorId, [
      uploaded(mediaId, authorId),
      [mediaStream(mediaId), 1, MediaAttached({ mediaId, ownerId: authorId, use: { kind: 'post', postId } })],
      [postStream(postId), 0, PostPublished({ postId, authorId, mediaIds: [mediaId], ...contentOf(random) })],
    ])
    const fans = followers[author]!
    const some = (count: number): Set<AccountId> =>
      new Set(fans.length === 0 ? [] : Array.from({ length: Math.floor(count + random()) }, () => people[pick(fans, random)]!))
    for (const actorId of some(size.likes)) {
      const subject = { kind: 'post', id: postId } as const
      await act(actorId, [[likeStream(actorId, subject), 0, Liked({ actorId, subject, postId, authorId })]])
    }
    for (const actorId of some(size.comments)) {
      const commentId = newId<'comment'>()
      const place = { commentId, postId, postAuthorId: authorId, authorId: actorId, parentId: null, repliedToId: null }
      await act(actorId, [[commentStream(commentId), 0, CommentAdded({ ...place, text: pick(remarks, random), mentionIds: [] })]])
    }
    posting.step()
    if (full()) yield flush()
  }
  posting.done()
  yield flush()
}

const uploaded = (mediaId: MediaId, ownerId: AccountId): readonly [string, number, Event] => [
  mediaStream(mediaId),
  0,
  MediaUploaded({ mediaId, ownerId, ...picture, renditions: [...sizes] }),
]

/** Half of them anybody, half of them those whom many follow. */
function followeesOf(n: number, accounts: number, count: number, random: Random): Set<number> {
  const wanted = new Set<number>()
  const most = Math.min(count, accounts - 1)
  while (wanted.size < most) {
    const other = random() < 0.5 ? Math.floor(random() * accounts) : skewed(accounts, random)
    if (other !== n) wanted.add(other)
  }
  return wanted
}

function contentOf(random: Random): PostContent {
  const caption = captionOf(random)
  return {
    caption,
    hashtags: hashtagsOf(caption),
    altTexts: [random() < 0.5 ? `A landscape: ${pick(subjects, random)}` : null],
    location: random() < 0.3 ? pick(placesOfWorld, random) : null,
    mentionIds: [],
    audience: { kind: random() < 0.9 ? 'public' : 'followers' },
    comments: 'everyone',
  }
}
