/** Each person's own data key (32 bytes), in a store apart from the log. */
export interface KeyStore {
  /** Makes the key, durable when it returns. Where there is one already nothing happens. @throws KeyDestroyed */
  create(subjectId: string): Promise<void>
  /** Always asked of the store, so that nothing is sealed with a dead key. @throws KeyDestroyed where one is missing or destroyed. */
  forSealing(subjectIds: readonly string[]): Promise<ReadonlyMap<string, Buffer>>
  /** Cached for a minute. A destroyed key is absent from the map. */
  forOpening(subjectIds: readonly string[]): Promise<ReadonlyMap<string, Buffer>>
  /** Destroys the key and leaves a tombstone that nothing overwrites. Idempotent. */
  destroy(subjectIds: readonly string[]): Promise<void>
}

export class KeyDestroyed extends Error {
  override readonly name = 'KeyDestroyed'
}
