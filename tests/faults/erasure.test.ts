import { readdir } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import type { Commands } from '../../src/commands/context.ts'
import { unavailable } from '../../src/kernel/problem.ts'
import { sql } from '../../src/kernel/sql.ts'
import { testApp } from '../support/app.ts'
import { allSettled } from '../support/settled.ts'

/** Commands whose steps of an erasure each fail once before they are done, and once after. */
function stumbling(parts: Commands, stumbled: string[]): Commands {
  const once = <Arguments extends unknown[], Result>(step: string, work: (...of: Arguments) => Promise<Result>) => {
    return async (...of: Arguments): Promise<Result> => {
      for (const when of ['before', 'after']) {
        if (stumbled.includes(`${when} ${step}`)) continue
        stumbled.push(`${when} ${step}`)
        if (when === 'after') await work(...of)
        throw unavailable('It stumbles.')
      }
      return work(...of)
    }
  }
  const { keys, storage } = parts
  return {
    ...parts,
    keys: {
      create: id => keys.create(id),
      forSealing: ids => keys.forSealing(ids),
      forOpening: ids => keys.forOpening(ids),
      destroy: once('key', ids => keys.destroy(ids)),
    },
    storage: {
      put: (key, bytes, type) => storage.put(key, bytes, type),
      get: key => storage.get(key),
      list: prefix => storage.list(prefix),
      remove: once('files', prefix => storage.remove(prefix)),
    },
    execute: async (decider, stream, command, actor, options) => {
      const { type } = command as { type: string }
      const execute = () => parts.execute(decider, stream, command, actor, options)
      return type === 'Release' || type === 'CompleteErasure' ? once(type, execute)() : execute()
    },
  }
}

describe('an erasure', () => {
  it('is finished, however often its steps fail before or after they are done', async () => {
    const stumbled: string[] = []
    const app = await testApp({ around: { commands: parts => stumbling(parts, stumbled) } })
    try {
      const person = await app.signUp('stumbles')
      await person.publish()
      await person.publish()
      const { erasure } = (await person.post('/me/erasure')).body
      await allSettled(app)
      expect(stumbled.sort()).toEqual(
        ['key', 'files', 'Release', 'CompleteErasure'].flatMap(step => [`after ${step}`, `before ${step}`]).sort(),
      )
      expect((await app.get(`/erasures/${erasure.id}`)).body.status).toBe('completed')
      const [key] = await app.app.db.run<{ wrapped: Buffer | null }>(
        sql`select wrapped from keys.keys where subject = ${person.id}`,
      )
      expect(key).toEqual({ wrapped: null })
      expect(await readdir(`${app.mediaDir}/media`)).toEqual([])
      expect((await app.signUp('stumbles')).id).not.toBe(person.id)
    } finally {
      await app.stop()
    }
  })
})
