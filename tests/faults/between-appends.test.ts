import { randomUUID } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { changeAvatar } from '../../src/commands/accounts.ts'
import type { Commands } from '../../src/commands/context.ts'
import { askWhereItWasPrivate, relate } from '../../src/commands/relationships.ts'
import { Followed, relationshipStream } from '../../src/domain/relationships/relationship.ts'
import type { EventOf } from '../../src/kernel/events.ts'
import type { Execute } from '../../src/kernel/execute.ts'
import { type Person, type TestApp, testApp } from '../support/app.ts'
import { allSettled } from '../support/settled.ts'

/** A command that appends to two streams, and a process that dies between the appends. */

let app: TestApp
beforeAll(async () => {
  app = await testApp()
})
afterAll(() => app.stop())

class Died extends Error {}

/** Commands of a process that waits before one kind of command, and may die there. */
function until(type: string, meanwhile: () => Promise<void>): Commands {
  const execute: Execute = async (decider, stream, command, actor, options) => {
    if ((command as { type: string }).type === type) await meanwhile()
    return app.app.commands.execute(decider, stream, command, actor, options)
  }
  return { ...app.app.commands, execute }
}
const dies = async (): Promise<void> => {
  throw new Died()
}
const actorOf = ({ id }: Person) => ({ id, sessionId: null, correlationId: randomUUID() })

describe('a picture that was given to an account and never shown', () => {
  const aDayLater = async (person: Person): Promise<void> => {
    await allSettled(app)
    app.clock.advance(25 * 3_600_000)
    // The first may join one that looked before the clock was moved.
    for (let n = 0; n < 2; n++) await app.app.timers.tick()
    await allSettled(app)
    const { session } = (await app.post('/sessions', { login: person.username, password: person.password })).body
    person.session = session
  }
  const files = (person: Person): Promise<string[]> => readdir(`${app.mediaDir}/media/${person.id}`)
  const diedWith = async (person: Person): Promise<string> => {
    const { id } = await person.upload()
    await expect(changeAvatar(until('ChangeAvatar', dies), actorOf(person), id)).rejects.toThrow(Died)
    return id
  }

  it('is shown by a repeat, and stays', async () => {
    const person = await app.signUp()
    const mediaId = await diedWith(person)
    expect((await person.put('/me/avatar', { mediaId })).body.avatarUrl).toContain(mediaId)
    await aDayLater(person)
    expect((await person.get('/me')).body.avatarUrl).toContain(mediaId)
    expect(await files(person)).toEqual([mediaId])
  })

  it('goes a day after its upload where nobody repeats it, with its files', async () => {
    const person = await app.signUp()
    const { id: shown } = await person.upload()
    await person.put('/me/avatar', { mediaId: shown })
    const mediaId = await diedWith(person)
    await aDayLater(person)
    expect((await person.get(`/media/${mediaId}`)).status).toBe(404)
    expect(await files(person)).toEqual([shown])
    expect((await person.get('/me')).body.avatarUrl).toContain(shown)
    expect((await person.put('/me/avatar', { mediaId })).body).toMatchObject({ status: 422, code: 'media_not_found' })
  })

  it('is shown or gone, not both, where its day ends in between', async () => {
    const person = await app.signUp()
    const { id } = await person.upload()
    const late = changeAvatar(
      until('ChangeAvatar', () => aDayLater(person)),
      actorOf(person),
      id,
    )
    await expect(late).rejects.toMatchObject({ code: 'media_not_found' })
    expect((await person.get('/me')).body.avatarUrl).toBeNull()
  })
})

describe('a follow on the fact of a moment ago, of an account that has gone private since', () => {
  const follow = (commands: Commands, follower: Person, followee: Person) =>
    relate(commands, actorOf(follower), 'Follow', followee.id)
  const turnsPrivate = async (person: Person): Promise<void> => {
    expect((await person.put('/me/account-type', { type: 'private' })).status).toBe(200)
  }
  const viewer = async (follower: Person, followee: Person) => {
    await allSettled(app)
    return (await follower.get(`/accounts/${followee.id}`)).body.viewer
  }
  /** The process goes down behind the follow, before it looks again. */
  const dying = (followee: Person): Commands => {
    const { settled } = app.app.commands
    let followed = false
    const commands = until('Follow', async () => {
      await turnsPrivate(followee)
      followed = true
    })
    const { reading } = commands
    const db = new Proxy(reading.db, {
      get(target, name) {
        if (followed) throw new Died()
        return Reflect.get(target, name)
      },
    })
    return { ...commands, settled, reading: { ...reading, db } }
  }
  /** As the reaction looks at the first follow, were it late. */
  const lookedAtLate = async (follower: Person, followee: Person): Promise<void> => {
    const events = await app.app.store.read(relationshipStream(follower.id, followee.id))
    const followed = events.find(({ type }) => type === Followed.type)!
    const [event] = await app.app.codec.open<EventOf<typeof Followed>>([followed])
    await askWhereItWasPrivate(app.app.commands, app.app.store, event!, actorOf(follower))
  }

  it('becomes a request, also where its process dies in between', async () => {
    const [author, late] = [await app.signUp(), await app.signUp()]
    await expect(follow(dying(author), late, author)).rejects.toThrow(Died)
    expect(await viewer(late, author)).toMatchObject({ follows: false, requested: true })
    const { items } = (await author.get('/me/follow-requests', { after: late.token })).body
    expect(items.map(({ id }: { id: string }) => id)).toEqual([late.id])
  })

  it('stays where it came before, however late that is looked at', async () => {
    const [author, early] = [await app.signUp(), await app.signUp()]
    await early.follow(author)
    await turnsPrivate(author)
    await lookedAtLate(early, author)
    expect(await viewer(early, author)).toMatchObject({ follows: true, requested: false })
  })

  it('stays where the author has accepted it meanwhile', async () => {
    const [author, late] = [await app.signUp(), await app.signUp()]
    await follow(
      until('Follow', () => turnsPrivate(author)),
      late,
      author,
    )
    expect((await author.put(`/me/follow-requests/${late.id}`)).status).toBe(200)
    await lookedAtLate(late, author)
    expect(await viewer(late, author)).toMatchObject({ follows: true, requested: false })
  })
})
