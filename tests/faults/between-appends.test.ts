import { randomUUID } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { changeAvatar } from '../../src/commands/accounts.ts'
import type { Commands } from '../../src/commands/context.ts'
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
    await app.app.timers.tick()
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
