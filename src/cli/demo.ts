import { createHash } from 'node:crypto'
import { signUp } from '../commands/accounts.ts'
import { addComment } from '../commands/comments.ts'
import type { Commands } from '../commands/context.ts'
import { togglePostLike } from '../commands/likes.ts'
import { uploadMedia } from '../commands/media.ts'
import { createPost, type PostDraft } from '../commands/posts.ts'
import { relate } from '../commands/relationships.ts'
import { type AccountId, newId, type PostId } from '../kernel/ids.ts'
import { ruleModels } from '../reading/rules.ts'
import { progressBar } from './progress.ts'

export type DemoSize = { readonly accounts: number; readonly posts: number }

export const demoSize: DemoSize = { accounts: 200, posts: 2_000 }

/** Everybody in the demo signs in with it. */
export const demoPassword = 'a believable network'

const given = [
  'ada',
  'ben',
  'cleo',
  'dora',
  'emil',
  'fara',
  'gus',
  'hana',
  'ivo',
  'june',
  'kaya',
  'lars',
  'mina',
  'noor',
  'otto',
  'pia',
  'quinn',
  'rosa',
  'sami',
  'tove',
]
const family = ['abbott', 'berg', 'costa', 'dahl', 'engel', 'flores', 'green', 'hart', 'ito', 'jansen']
const subjects = [
  'morning fog',
  'the harbour',
  'a quiet street',
  'my grandmother’s garden',
  'rain on the window',
  'the last light',
  'a borrowed bicycle',
  'bread',
  'the hill behind the house',
  'an old sign',
]
const moods = ['#light', '#film', '#street', '#quiet', '#colour', '#weekend', '#monochrome', '#sea', '#city', '#home']
const remarks = [
  'What a light!',
  'I know this place.',
  'So calm.',
  'The colours!',
  'Where is this?',
  'One of your best.',
  'I can smell it.',
  'More of these, please.',
  'How did you do that?',
  'Lovely.',
]
const placesOfWorld = [
  { name: 'Lisbon', lat: 38.72, lng: -9.14 },
  { name: 'Oslo', lat: 59.91, lng: 10.75 },
  { name: 'Kyoto', lat: 35.01, lng: 135.77 },
  { name: 'Nairobi', lat: -1.29, lng: 36.82 },
  { name: 'Valparaíso', lat: -33.05, lng: -71.61 },
]

const pick = <T>(list: readonly T[], random: () => number): T => list[Math.floor(random() * list.length)]!

/** Low numbers often, high ones seldom: a few are followed by many (an exponential skew). */
const skewed = (count: number, random: () => number): number =>
  Math.min(count - 1, Math.floor(-Math.log(1 - random()) * (count / 8)))

/** Numbers in [0, 1) that are the same for the same seed (SHA-256 in counter mode). */
function randomOf(seed: string): () => number {
  let n = 0
  return () => createHash('sha256').update(`${seed} ${n++}`).digest().readUInt32BE() / 2 ** 32
}

/**
 * Makes a small believable network through the commands: accounts on a skewed follow graph, pictures made by code, posts, likes and comments.
 * Run again it adds another network of other names.
 * @param run seeds everything and stands in every name: a few of a-z and 0-9
 * @param landscape makes a picture
 */
export async function demo(
  commands: Commands,
  size: DemoSize,
  run: string,
  landscape: (random: () => number) => Promise<Uint8Array>,
): Promise<{ usernames: string[]; likes: number; comments: number }> {
  const random = randomOf(run)
  const actorOf = (id: AccountId) => ({ id, sessionId: null, correlationId: `demo ${run}` })
  const origin = {
    device: { userAgent: 'demo', address: '127.0.0.1' },
    actor: { id: null, sessionId: null, correlationId: `demo ${run}` },
  }

  const people: AccountId[] = []
  const usernames: string[] = []
  let position = 0
  const signingUp = progressBar('accounts', size.accounts)
  for (let n = 0; n < size.accounts; n++) {
    const [first, last] = [pick(given, random), pick(family, random)]
    const username = `${first}.${last}.${run}${n}`
    const displayName = `${first[0]!.toUpperCase()}${first.slice(1)} ${last[0]!.toUpperCase()}${last.slice(1)}`
    const made = await signUp(
      commands,
      { username, email: `${username}@demo.example`, password: demoPassword, displayName },
      origin,
    )
    people.push(made.accountId)
    usernames.push(username)
    position = made.position
    signingUp.step()
  }
  signingUp.done()
  await commands.settled(position, ruleModels)

  const following = progressBar('follows', size.accounts)
  for (const person of people) {
    const wanted = new Set(
      Array.from({ length: Math.min(people.length - 1, 12 + skewed(60, random)) }, () => people[skewed(people.length, random)]!),
    )
    wanted.delete(person)
    const done = await Promise.all([...wanted].map(other => relate(commands, actorOf(person), 'Follow', other)))
    position = Math.max(position, ...done.map(one => one.position))
    following.step()
  }
  following.done()

  const posts: PostId[] = []
  const posting = progressBar('posts', size.posts)
  const post = async (): Promise<void> => {
    const author = people[skewed(people.length, random)]!
    const mediaId = newId<'media'>()
    const id = newId<'post'>()
    const caption = `${pick(subjects, random)} ${pick(moods, random)}`
    const draft: PostDraft = {
      media: [{ id: mediaId, altText: random() < 0.5 ? `A landscape: ${pick(subjects, random)}` : null }],
      caption: `${caption[0]!.toUpperCase()}${caption.slice(1)}`,
      location: random() < 0.3 ? pick(placesOfWorld, random) : null,
      audience: random() < 0.9 ? { kind: 'public' } : { kind: 'followers' },
      comments: 'everyone',
    }
    await uploadMedia(commands, actorOf(author), { id: mediaId, request: undefined }, await landscape(random))
    position = Math.max(position, await createPost(commands, actorOf(author), { id, request: undefined }, draft))
    posts.push(id)
    posting.step()
  }
  // A few at a time, so that one is decoded while another is written.
  for (let n = 0; n < size.posts; n += 4) await Promise.all(Array.from({ length: Math.min(4, size.posts - n) }, post))
  posting.done()
  await commands.settled(position, ruleModels)

  let likes = 0
  let comments = 0
  const liking = progressBar('likes and comments', posts.length)
  for (const postId of posts) {
    const readers = new Set(Array.from({ length: skewed(40, random) }, () => pick(people, random)))
    await Promise.all(
      [...readers].map(async reader => {
        const chance = random()
        try {
          await togglePostLike(commands, actorOf(reader), 'Like', postId)
          likes++
          if (chance < 0.2) {
            await addComment(commands, actorOf(reader), { id: newId<'comment'>(), request: undefined }, postId, {
              text: pick(remarks, random),
              parentId: null,
            })
            comments++
          }
        } catch (error) {
          // Not everybody follows everybody: what somebody may not see they do not like.
          if ((error as { code?: unknown }).code !== 'not_found') throw error
        }
      }),
    )
    liking.step()
  }
  liking.done()
  return { usernames, likes, comments }
}
