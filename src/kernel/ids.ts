import { randomUUID } from 'node:crypto'
import { mac } from './secrets.ts'

/** An id of one kind of thing: a lower-case UUID. Ids carry no order; every order is (position or time, id). */
export type Id<Kind extends string> = string & { readonly kind?: Kind }

export type AccountId = Id<'account'>
export type SessionId = Id<'session'>
export type PostId = Id<'post'>
export type CommentId = Id<'comment'>
export type MediaId = Id<'media'>

const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Whether the text is an id as this house writes them: a UUID in lower case. */
export const isId = (text: string): boolean => uuidForm.test(text)

/** A new id (UUIDv4, RFC 9562). */
export const newId = <Kind extends string>(): Id<Kind> => randomUUID()

/** A UUIDv8 (RFC 9562) made of an HMAC-SHA-256 of the parts: the same parts give the same id, and nobody without the key can foresee it. */
export function derivedId<Kind extends string>(key: Buffer, ...parts: readonly string[]): Id<Kind> {
  const bytes = mac(key, JSON.stringify(parts), 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
