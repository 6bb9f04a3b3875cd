import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { Event, EventType, LoggedEvent, Metadata, Recorded, StoredEvent } from './events.ts'
import { newId } from './ids.ts'
import type { KeyStore } from './ports/key-store.ts'
import { keyObject } from './secrets.ts'

/** The field of stored data that holds the sealed blobs: {subject id: base64 of nonce, tag, ciphertext}. */
const sealedField = '$sealed'

/** An event of a type or version that this release does not know: its reader waits for an upgrade. */
export class NewerEvent extends Error {
  override readonly name = 'NewerEvent'
}

/** Between events as the domain knows them and as the log keeps them: seals and opens personal fields, upcasts. */
export class Codec {
  readonly #types: ReadonlyMap<string, EventType>
  readonly #keys: KeyStore

  constructor(types: readonly EventType[], keys: KeyStore) {
    this.#types = new Map(types.map(type => [type.type, type]))
    if (this.#types.size !== types.length) throw new Error('two event types share a name')
    this.#keys = keys
  }

  /** @throws KeyDestroyed where a subject's key is gone. */
  async seal(events: readonly Event[], metadata: Omit<Metadata, 'schemaVersion'>): Promise<StoredEvent[]> {
    const subjects = new Set(events.flatMap(event => [...personalBySubject(this.#type(event.type), event.data).keys()]))
    const keys = subjects.size > 0 ? await this.#keys.forSealing([...subjects]) : new Map<string, Buffer>()
    return events.map((event, index) => {
      const type = this.#type(event.type)
      const id = newId()
      const { request, ...rest } = metadata
      return {
        id,
        type: event.type,
        data: sealData(type, event.data, keys, id),
        metadata: { ...rest, schemaVersion: type.version, ...(index === 0 && request !== undefined ? { request } : {}) },
      }
    })
  }

  /** Opens a batch with one fetch of keys. @throws NewerEvent */
  async open<E extends Event>(events: readonly LoggedEvent[]): Promise<Recorded<E>[]> {
    const subjects = new Set<string>()
    for (const event of events) for (const subject of Object.keys(blobsOf(event.data))) subjects.add(subject)
    const keys = subjects.size > 0 ? await this.#keys.forOpening([...subjects]) : new Map<string, Buffer>()
    return events.map(event => {
      const type = this.#type(event.type)
      if (event.metadata.schemaVersion > type.version) {
        throw new NewerEvent(`${event.type} of version ${event.metadata.schemaVersion}; this release knows ${type.version}`)
      }
      const data = upcast(type, event.metadata.schemaVersion, openData(event, keys))
      return { ...event, data: withNulls(type, data), at: event.metadata.at } as unknown as Recorded<E>
    })
  }

  #type(name: string): EventType {
    const type = this.#types.get(name)
    if (type === undefined) throw new NewerEvent(`${name} is of no type that this release knows`)
    return type
  }
}

/** Subject → its personal fields that hold anything. */
function personalBySubject(type: EventType, data: object): Map<string, Record<string, unknown>> {
  const fields = data as Record<string, unknown>
  const found = new Map<string, Record<string, unknown>>()
  for (const [field, owner] of Object.entries(type.personal)) {
    const value = fields[field]
    if (value === null || value === undefined) continue
    const subject = fields[owner]
    if (typeof subject !== 'string') throw new Error(`${type.type}.${field} is personal, but ${owner} names nobody`)
    const mine = found.get(subject)
    if (mine === undefined) found.set(subject, { [field]: value })
    else mine[field] = value
  }
  return found
}

function sealData(type: EventType, data: object, keys: ReadonlyMap<string, Buffer>, id: string): object {
  const bySubject = personalBySubject(type, data)
  if (Object.keys(type.personal).length === 0) return data
  const open = Object.fromEntries(Object.entries(data).filter(([field]) => !(field in type.personal)))
  if (bySubject.size === 0) return open
  const blobs = [...bySubject].map(([subject, fields]) => [subject, encrypt(keys.get(subject)!, JSON.stringify(fields), id)])
  return { ...open, [sealedField]: Object.fromEntries(blobs) }
}

const blobsOf = (data: object): Record<string, string> =>
  (data as Record<string, Record<string, string> | undefined>)[sealedField] ?? {}

function openData(event: LoggedEvent, keys: ReadonlyMap<string, Buffer>): Record<string, unknown> {
  const { [sealedField]: _, ...data } = event.data as Record<string, unknown>
  for (const [subject, blob] of Object.entries(blobsOf(event.data))) {
    const key = keys.get(subject)
    if (key !== undefined) Object.assign(data, JSON.parse(decrypt(key, blob, event.id)))
  }
  return data
}

/** Personal fields that were null when written, or whose key is gone, are null, never absent. */
function withNulls(type: EventType, data: Record<string, unknown>): Record<string, unknown> {
  for (const field of Object.keys(type.personal)) data[field] ??= null
  return data
}

function upcast(type: EventType, from: number, data: Record<string, unknown>): Record<string, unknown> {
  let current = data
  for (let version = from; version < type.version; version++) {
    const step = type.upcasts[version]
    if (step === undefined) throw new Error(`${type.type} has no upcast from version ${version}`)
    current = step(current)
  }
  return current
}

/** AES-256-GCM, bound to the event's id, so that a blob cannot be moved to another event. */
function encrypt(key: Buffer, text: string, id: string): string {
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', keyObject(key), nonce).setAAD(Buffer.from(id))
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64')
}

function decrypt(key: Buffer, blob: string, id: string): string {
  const bytes = Buffer.from(blob, 'base64')
  const decipher = createDecipheriv('aes-256-gcm', keyObject(key), bytes.subarray(0, 12))
    .setAAD(Buffer.from(id))
    .setAuthTag(bytes.subarray(12, 28))
  return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString('utf8')
}
