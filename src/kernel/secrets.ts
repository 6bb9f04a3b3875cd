import { createCipheriv, createHmac, createSecretKey, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto'
import { LRUCache } from 'lru-cache'

/** What may never change: it is in the log, or opens what is. `guesses` is here so that a change of SECRET forgives none. */
export type LastingUse = 'names' | 'emails' | 'idempotency' | 'master' | 'guesses'

/** What changes with SECRET, and is accepted under the one before it. */
export type PassingUse = 'root' | 'tokens' | 'cursors' | 'pictures' | 'access' | 'refresh'

const lasting: ReadonlySet<LastingUse | PassingUse> = new Set<LastingUse>(['names', 'emails', 'idempotency', 'master', 'guesses'])

/**
 * The keys of every use: 32 bytes each, by HKDF-SHA-256 (RFC 5869), named by use; of lasting uses from the root, which is made once for a deployment and kept
 * wrapped under SECRET, of the others from SECRET itself.
 */
export class Secrets {
  readonly #current: string
  readonly #previous: string | null
  #root: string | null = null
  readonly #keys = new Map<string, Buffer>()

  constructor(current: string, previous: string | null = null) {
    this.#current = current
    this.#previous = previous
  }

  /** SECRET and, where it is set, SECRET_PREVIOUS. */
  get texts(): readonly string[] {
    return this.#previous === null ? [this.#current] : [this.#current, this.#previous]
  }

  /** Gives the root, once it is known: no lasting key before. */
  unlock(root: string): void {
    this.#root = root
  }

  /** The key that signs and seals now. */
  key(use: LastingUse | PassingUse): Buffer {
    if (!lasting.has(use)) return this.#derive('current', this.#current, use)
    if (this.#root === null) throw new Error(`the root is not open: there is no key of ${use} yet`)
    return this.#derive('root', this.#root, use)
  }

  /** The keys that are accepted: the present one, then the one before it where SECRET_PREVIOUS is set. */
  accepted(use: PassingUse): readonly Buffer[] {
    return this.#previous === null ? [this.key(use)] : [this.key(use), this.#derive('previous', this.#previous, use)]
  }

  #derive(from: string, secret: string, use: LastingUse | PassingUse): Buffer {
    const name = `${from} ${use}`
    let key = this.#keys.get(name)
    if (key === undefined) {
      key = keyOf(secret, use)
      this.#keys.set(name, key)
    }
    return key
  }
}

/** The key of a use by a secret, or by a root. */
export const keyOf = (secret: string, use: LastingUse | PassingUse): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, 'darkroom', use, 32))

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

type PairMac = (first: Buffer) => (seconds: readonly Buffer[]) => Buffer[]

/** Of each key, those of its last periods. */
const pairMacs = new WeakMap<Buffer, LRUCache<number, PairMac>>()

/**
 * MACs of pairs under a key that each period has of its own, by AES-128 in CBC-MAC: sound where all messages are of one length (Bellare, Kilian, Rogaway, "The
 * Security of the Cipher Block Chaining Message Authentication Code"), here of two blocks. The first is chained once for many seconds: an HMAC for each pair
 * costs ten times as much, and so does calling the cipher for each.
 * @returns for a first block of 16 bytes and several second ones, 16 bytes each
 */
export function pairMac(key: Buffer, period: number): PairMac {
  const known = pairMacs.get(key) ?? new LRUCache({ max: 4 })
  pairMacs.set(key, known)
  let made = known.get(period)
  if (made === undefined) {
    made = pairMacUnder(mac(key, `period ${period}`, 16))
    known.set(period, made)
  }
  return made
}

function pairMacUnder(key: Buffer): PairMac {
  const cipher = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false)
  /** Each block by itself: where one is chained to another, that stands in it already. */
  const encrypted = (blocks: Buffer): Buffer => cipher.update(blocks)
  return first => {
    const chained = encrypted(whole(first))
    return seconds => {
      const blocks = Buffer.allocUnsafe(blockBytes * seconds.length)
      for (const [at, second] of seconds.entries()) {
        whole(second)
        for (let byte = 0; byte < blockBytes; byte++) blocks[blockBytes * at + byte] = second[byte]! ^ chained[byte]!
      }
      const macs = encrypted(blocks)
      return seconds.map((_, at) => macs.subarray(blockBytes * at, blockBytes * (at + 1)))
    }
  }
}

const blockBytes = 16

function whole(block: Buffer): Buffer {
  if (block.length !== blockBytes) throw new RangeError(`A block has ${blockBytes} bytes.`)
  return block
}

/** Compares in constant time; false where the lengths differ. */
export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b)
