import { createCipheriv, createHmac, createSecretKey, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto'

/** What the one SECRET is used for; each use has a key of its own. */
export type SecretUse =
  | 'names'
  | 'emails'
  | 'idempotency'
  | 'master'
  | 'tokens'
  | 'cursors'
  | 'pictures'
  | 'access'
  | 'refresh'
  | 'receipts'
  | 'guesses'

/** The keys of every use: 32 bytes each, by HKDF-SHA-256 (RFC 5869) from SECRET, named by use. */
export class Secrets {
  readonly #current: string
  readonly #previous: string | null
  readonly #keys = new Map<string, Buffer>()

  constructor(current: string, previous: string | null = null) {
    this.#current = current
    this.#previous = previous
  }

  /** The key that signs and seals now. */
  key(use: SecretUse): Buffer {
    return this.#derive(this.#current, use)
  }

  /** The keys that are accepted: the present one, then the one before it where SECRET_PREVIOUS is set. */
  accepted(use: SecretUse): readonly Buffer[] {
    return this.#previous === null ? [this.key(use)] : [this.key(use), this.#derive(this.#previous, use)]
  }

  #derive(secret: string, use: SecretUse): Buffer {
    const name = `${secret === this.#current ? '' : 'previous '}${use}`
    let key = this.#keys.get(name)
    if (key === undefined) {
      key = Buffer.from(hkdfSync('sha256', secret, 'darkroom', use, 32))
      this.#keys.set(name, key)
    }
    return key
  }
}

const keyObjects = new WeakMap<Buffer, KeyObject>()

/** The key as Node's own object, made once: with bytes every MAC and cipher takes three times as long. */
export function keyObject(key: Buffer): KeyObject {
  let made = keyObjects.get(key)
  if (made === undefined) {
    made = createSecretKey(key)
    keyObjects.set(key, made)
  }
  return made
}

/** HMAC-SHA-256 of a text, cut to `bytes`. */
export const mac = (key: Buffer, text: string, bytes = 32): Buffer =>
  createHmac('sha256', keyObject(key)).update(text).digest().subarray(0, bytes)

/**
 * MACs of messages of one block, many under one key: AES-128 of the block, which is CBC-MAC where all messages have that length (NIST SP 800-38B is its general form).
 * @param key 16 bytes
 * @returns 16 bytes for each 16
 */
export function blockMac(key: Buffer): (block: Buffer) => Buffer {
  const cipher = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false)
  return block => {
    if (block.length !== 16) throw new RangeError('A block has 16 bytes.')
    return cipher.update(block)
  }
}

/** Compares in constant time; false where the lengths differ. */
export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b)
