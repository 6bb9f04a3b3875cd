/** Password hashing, off the event loop; `unavailable` (503) where too many wait for it. */
export interface Passwords {
  /** argon2id, in PHC form. */
  hash(password: string): Promise<string>
  /** `upgrade`: right, but the hash is of an older kind (bcrypt) or weaker: hash it anew. A null hash takes as long and is never right. */
  verify(hash: string | null, password: string): Promise<{ right: boolean; upgrade: boolean }>
}
