import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { keyObject } from '../../kernel/secrets.ts'

/** AES-256-GCM: nonce (12 bytes), ciphertext, tag (16); bound to the name of what is wrapped, so that it cannot stand for another. */
export function wrap(by: Buffer, name: string, secret: Buffer): Buffer {
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', keyObject(by), nonce).setAAD(Buffer.from(name))
  return Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()])
}

/** @throws Error where it was wrapped by another key or under another name */
export function unwrap(by: Buffer, name: string, wrapped: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', keyObject(by), wrapped.subarray(0, 12)).setAAD(Buffer.from(name))
  decipher.setAuthTag(wrapped.subarray(-16))
  return Buffer.concat([decipher.update(wrapped.subarray(12, -16)), decipher.final()])
}

/** Whether `unwrap` would give it. */
export function opens(by: Buffer, name: string, wrapped: Buffer): boolean {
  try {
    unwrap(by, name, wrapped)
    return true
  } catch {
    return false
  }
}
