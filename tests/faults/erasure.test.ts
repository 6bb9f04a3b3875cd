import { readdir } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PostgresKeyStore } from '../../src/adapters/postgres/keys.ts'
import type { Commands } from '../../src/commands/context.ts'
import type { EventStore } from '../../src/kernel/ports/event-store.ts'
import { unavailable } from '../../src/kernel/problem.ts'
import { sql } from '../../src/kernel/sql.ts'
import { destroyErasedKeys } from '../../src/reactions/accounts.ts'
import { type TestApp, testApp } from '../support/app.ts'
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
      look: () => storage.look(),
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

describe('a start destroys the keys of the erased again', () => {
  let app: TestApp
  let keys: PostgresKeyStore
  beforeAll(async () => {
    app = await testApp()
    keys = new PostgresKeyStore(app.app.db, () => app.app.commands.reading.secrets.key('master'))
  })
  afterAll(() => app.stop())

  /** What a start reads of the log: from where on, and how many events. */
  const started = async (): Promise<{ after: number; events: number }[]> => {
    const reads: { after: number; events: number }[] = []
    const store: Pick<EventStore, 'subscribe' | 'head'> = {
      head: () => app.app.store.head(),
      async *subscribe(subscription) {
        const read = { after: subscription.after, events: 0 }
        reads.push(read)
        for await (const slice of app.app.store.subscribe(subscription)) {
          read.events += slice.events.length
          yield slice
        }
      },
    }
    await destroyErasedKeys(store, keys)
    return reads
  }
  const rows = <Row>(table: 'keys' | 'erasures_seen') =>
    app.app.db.run<{ row: Row }>(sql`select to_json(k) as row from ${sql.table(`keys.${table}`)} k`)
  const destroyed = async (id: string): Promise<boolean> => {
    const [key] = await app.app.db.run<{ gone: boolean }>(
      sql`select wrapped is null as gone from keys.keys where subject = ${id}`,
    )
    return key!.gone
  }
  const erase = async (name: string): Promise<string> => {
    const person = await app.signUp(name)
    expect((await person.post('/me/erasure')).status).toBe(202)
    await allSettled(app)
    return person.id
  }

  it('reading what came since the last one', async () => {
    await Promise.all(['some', 'other', 'people'].map(name => app.signUp(name)))
    await erase('first.gone')
    expect(await started()).toEqual([{ after: 0, events: 5 }])
    const [again] = await started()
    expect(again).toEqual({ after: expect.any(Number), events: 1 })
    expect(again!.after).toBeGreaterThan(0)
    await app.signUp('newcomer')
    expect(await started()).toMatchObject([{ events: 2 }])
  })

  it('from the mark of the backup on, where the keys are from one', async () => {
    await started()
    const person = await app.signUp('gone.after')
    const backup = { keys: await rows('keys'), seen: await rows('erasures_seen') }
    expect((await person.post('/me/erasure')).status).toBe(202)
    await allSettled(app)
    await started()
    expect(await destroyed(person.id)).toBe(true)
    await app.app.db.run(sql`delete from keys.keys`)
    await app.app.db.run(sql`delete from keys.erasures_seen`)
    for (const { row } of backup.keys)
      await app.app.db.run(
        sql`insert into keys.keys select * from json_populate_record(null::keys.keys, ${JSON.stringify(row)}::json)`,
      )
    for (const { row } of backup.seen)
      await app.app.db.run(
        sql`insert into keys.erasures_seen select * from json_populate_record(null::keys.erasures_seen, ${JSON.stringify(row)}::json)`,
      )
    expect(await destroyed(person.id)).toBe(false)
    expect(await started()).toMatchObject([{ events: 3 }])
    expect(await destroyed(person.id)).toBe(true)
  })

  it.each(['of another log', 'ahead of the log'])('reading all of the log where the mark is %s', async which => {
    const person = await erase(which === 'of another log' ? 'other.log' : 'other.future')
    await started()
    // Further than others can bring a log that is shared.
    const ahead = which === 'ahead of the log' ? 1_000_000_000_000 : 0
    await app.app.db.run(
      sql`update keys.erasures_seen set id = gen_random_uuid(), before = before + ${ahead}, position = position + ${ahead}`,
    )
    await app.app.db.run(sql`update keys.keys set wrapped = 'x', destroyed_at = null where subject = ${person}`)
    expect((await started()).at(-1)).toMatchObject({ after: 0 })
    expect(await destroyed(person)).toBe(true)
    expect(await started()).toMatchObject([{ events: 1 }])
  })
})
