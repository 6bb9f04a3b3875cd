import { createHmac, createSecretKey, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto'

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

/** HMAC-SHA-256 of a text, cut to `bytes`. Node takes three times as long with a key in bytes, so what it makes of them is kept. */
export function mac(key: Buffer, text: string, bytes = 32): Buffer {
  let made = keyObjects.get(key)
  if (made === undefined) {
    made = createSecretKey(key)
    keyObjects.set(key, made)
  }
  return createHmac('sha256', made).update(text).digest().subarray(0, bytes)
}

/** Compares in constant time; false where the lengths differ. */
export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b)
