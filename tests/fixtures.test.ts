import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { allEvents } from '../src/domain/events.ts'
import { Codec, NewerEvent } from '../src/kernel/codec.ts'
import { type Event, type EventType, eventType, type LoggedEvent, type Metadata } from '../src/kernel/events.ts'
import { KeyDestroyed, type KeyStore } from '../src/kernel/ports/key-store.ts'
import { samples } from './fixtures/samples.ts'

/** `data` and `metadata` as they were written in that version, before sealing: frozen. `opened`: the data as the present version reads it. */
type Fixture = { readonly data: object; readonly metadata: Metadata; readonly opened: object }

const folder = new URL('fixtures/events/', import.meta.url)
const digestsFile = new URL('fixtures/digests.json', import.meta.url)
const readJson = <T>(file: URL): T => JSON.parse(readFileSync(file, 'utf8')) as T
const names = readdirSync(folder).map(file => file.replace(/\.json$/, ''))
const fixtureOf = (name: string): Fixture => readJson(new URL(`${name}.json`, folder))
const digests = readJson<Record<string, string>>(digestsFile)
const digestOf = ({ data, metadata }: Fixture): string =>
  createHash('sha256')
    .update(JSON.stringify([data, metadata]))
    .digest('hex')

/** The names of the fixtures that a type must have: one a version ever written. */
const wanted = ({ type, version }: EventType): string[] => Array.from({ length: version }, (_, n) => `${type}.v${n + 1}`)

const types = allEvents.map((type): [string, EventType] => [type.type, type])
const sampleOf = (type: string): object | undefined => (samples as Readonly<Record<string, object>>)[type]

const howTo =
  'Events once written stay in logs for ever, so their forms are frozen. A new type, or a new version with its upcast, gets a sample in ' +
  'tests/fixtures/samples.ts and its fixture from `FREEZE=1 npm test -- tests/fixtures.test.ts`, which changes none that is there (then `npm run format`). ' +
  'To change the form of a type, raise its `version`, write `upcasts`, and let `opened` of its older fixtures say what they now read as.'

const metadata: Metadata = {
  at: '2026-01-01T12:00:00.000Z',
  actorId: '0a000000-0000-4000-8000-000000000001',
  sessionId: '0e000000-0000-4000-8000-000000000001',
  correlationId: '01000000-0000-4000-8000-000000000001',
  causationId: null,
  schemaVersion: 1,
}

if (process.env.FREEZE === '1') freeze()

function freeze(): void {
  for (const type of allEvents) {
    const name = `${type.type}.v${type.version}`
    const data = sampleOf(type.type)
    if (names.includes(name) || data === undefined) continue
    const fixture: Fixture = { data, metadata: { ...metadata, schemaVersion: type.version }, opened: data }
    writeFileSync(new URL(`${name}.json`, folder), `${JSON.stringify(fixture, null, 2)}\n`)
    digests[name] = digestOf(fixture)
    names.push(name)
  }
  writeFileSync(digestsFile, `${JSON.stringify(Object.fromEntries(Object.entries(digests).sort()), null, 2)}\n`)
}

/** Keys in memory, made as they are asked for. */
function memoryKeys(): KeyStore {
  const keys = new Map<string, Buffer | null>()
  const found = (ids: readonly string[]): Map<string, Buffer> =>
    new Map(ids.flatMap(id => (keys.get(id) ? [[id, keys.get(id)!]] : [])))
  return {
    async create(id) {
      if (!keys.has(id)) keys.set(id, randomBytes(32))
    },
    async forSealing(ids) {
      for (const id of ids) await this.create(id)
      if (found(ids).size < new Set(ids).size) throw new KeyDestroyed()
      return found(ids)
    },
    forOpening: async ids => found(ids),
    async destroy(ids) {
      for (const id of ids) keys.set(id, null)
    },
  }
}

const logged = (type: string, data: object, schemaVersion: number): LoggedEvent => ({
  id: '00000000-0000-4000-8000-000000000001',
  type,
  data,
  metadata: { ...metadata, schemaVersion },
  stream: 'test-1',
  revision: 0,
  position: 1,
})

async function opened(types: readonly EventType[], event: LoggedEvent, keys: KeyStore = memoryKeys()): Promise<object> {
  const [recorded] = await new Codec(types, keys).open<Event>([event])
  return recorded!.data
}

describe('every event ever written', () => {
  it('has a fixture for each of its versions, and no fixture is of an unknown type', () => {
    expect([...names].sort(), howTo).toEqual(allEvents.flatMap(wanted).sort())
  })

  it('has a sample', () => {
    expect(Object.keys(samples).sort(), howTo).toEqual(allEvents.map(({ type }) => type).sort())
  })

  it.each(names)('%s is as it was frozen', name => {
    expect(digestOf(fixtureOf(name)), `${name}.json was changed. ${howTo}`).toBe(digests[name])
  })

  it.each(names)('%s reads as its fixture says', async name => {
    const fixture = fixtureOf(name)
    expect(`${name.split('.')[0]}.v${fixture.metadata.schemaVersion}`).toBe(name)
    const event = logged(name.split('.')[0]!, fixture.data, fixture.metadata.schemaVersion)
    expect(await opened(allEvents, event), howTo).toEqual(fixture.opened)
  })

  it.each(types)('%s is written in the form of its newest fixture', (type, { version }) => {
    const sample = sampleOf(type)
    expect(sample, `${type} has another form than its version ${version}. ${howTo}`).toEqual(
      fixtureOf(`${type}.v${version}`).data,
    )
  })

  it.each(types)('%s hides what is personal, and without the key it is null', async (name, type) => {
    const { data } = fixtureOf(`${name}.v${type.version}`)
    const keys = memoryKeys()
    const [stored] = await new Codec(allEvents, keys).seal([{ type: name, data }], metadata)
    const fields = Object.keys(type.personal)
    for (const field of fields) {
      expect(stored!.data).not.toHaveProperty([field])
      const value = JSON.stringify((data as Readonly<Record<string, unknown>>)[field])
      if (value.length > 8) expect(JSON.stringify(stored)).not.toContain(value)
    }
    const event = { ...logged(name, stored!.data, type.version), id: stored!.id }
    expect(await opened(allEvents, event, keys)).toEqual(data)
    await keys.destroy(Object.values(type.personal).map(owner => (data as Readonly<Record<string, string>>)[owner]!))
    expect(await opened(allEvents, event, keys)).toEqual({ ...data, ...Object.fromEntries(fields.map(field => [field, null])) })
  })
})

describe('an upcast chain', () => {
  type Renamed = { id: string; title: string | null; tags: string[] }
  const Renamed = eventType<'Renamed', Renamed>('Renamed', {
    version: 3,
    personal: { title: 'id' },
    upcasts: {
      1: ({ name, ...rest }) => ({ ...rest, title: name }),
      2: data => ({ ...data, tags: [] }),
    },
  }) as unknown as EventType

  it.each([
    [1, { id: 'a', name: 'Old' }, { id: 'a', title: 'Old', tags: [] }],
    [2, { id: 'a', title: 'Newer' }, { id: 'a', title: 'Newer', tags: [] }],
    [3, { id: 'a', title: 'Newest', tags: ['x'] }, { id: 'a', title: 'Newest', tags: ['x'] }],
  ])('reads version %i as the present one', async (version, data, present) => {
    expect(await opened([Renamed], logged('Renamed', data, version))).toEqual(present)
  })

  it('says which step is missing', async () => {
    const gap = eventType<'Renamed', Renamed>('Renamed', { version: 3, upcasts: { 1: data => data } }) as unknown as EventType
    await expect(opened([gap], logged('Renamed', { id: 'a' }, 1))).rejects.toThrow('Renamed has no upcast from version 2')
  })

  it('leaves newer versions and unknown types to newer releases', async () => {
    await expect(opened([Renamed], logged('Renamed', {}, 4))).rejects.toThrow(NewerEvent)
    await expect(opened([Renamed], logged('Unheard', {}, 1))).rejects.toThrow(NewerEvent)
  })
})
