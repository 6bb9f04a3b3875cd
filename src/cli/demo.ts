import { signUp } from '../commands/accounts.ts'
import { addComment } from '../commands/comments.ts'
import type { Commands } from '../commands/context.ts'
import { togglePostLike } from '../commands/likes.ts'
import { uploadMedia } from '../commands/media.ts'
import { createPost, type PostDraft } from '../commands/posts.ts'
import { relate } from '../commands/relationships.ts'
import { type AccountId, newId, type PostId } from '../kernel/ids.ts'
import { Problem } from '../kernel/problem.ts'
import { ruleModels } from '../reading/rules.ts'
import {
  captionOf,
  demoPassword,
  displayNameOf,
  personOf,
  pick,
  placesOfWorld,
  randomOf,
  remarks,
  skewed,
  subjects,
} from './invention.ts'
import { progressBar } from './progress.ts'

export type DemoSize = { readonly accounts: number; readonly posts: number }

export const demoSize: DemoSize = { accounts: 200, posts: 2_000 }

/** How often a read model that is behind is waited for, each time as long as a request would. */
const mostWaits = 24

/** The server beside it may be busy for a while, and nobody waits for an answer here. */
const patient = (commands: Commands): Commands => ({
  ...commands,
  async settled(position, models) {
    for (let waits = 1; ; waits++) {
      try {
        return await commands.settled(position, models)
      } catch (error) {
        if (!(error instanceof Problem) || error.code !== 'read_model_behind' || waits === mostWaits) throw error
      }
    }
  },
})

/**
 * Makes a small believable network through the commands: accounts on a skewed follow graph, pictures made by code, posts, likes and comments.
 * Run again it adds another network of other names.
 * @param run seeds everything and stands in every name: a few of a-z and 0-9
 * @param landscape makes a picture
 */
export async function demo(
  given: Commands,
  size: DemoSize,
  run: string,
  landscape: (random: () => number) => Promise<Uint8Array>,
): Promise<{ usernames: string[]; likes: number; comments: number }> {
  const commands = patient(given)
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
    const name = personOf(random)
    const username = `${name.join('.')}.${run}${n}`
    const made = await signUp(
      commands,
      { username, email: `${username}@demo.example`, password: demoPassword, displayName: displayNameOf(name) },
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
    const draft: PostDraft = {
      media: [{ id: mediaId, altText: random() < 0.5 ? `A landscape: ${pick(subjects, random)}` : null }],
      caption: captionOf(random),
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
