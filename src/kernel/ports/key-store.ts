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

/**
 * How far the log's erasures were obeyed: an event that was looked at (the last one then), and the position of the one looked at before it, 0 where it was
 * the first.
 */
export type ErasuresSeen = { readonly before: number; readonly position: number; readonly id: string }

/** That mark, kept with the keys themselves: a store that was restored from a backup goes on from its own. */
export interface ErasureMark {
  erasuresSeen(): Promise<ErasuresSeen | null>
  sawErasures(seen: ErasuresSeen): Promise<void>
}

export class KeyDestroyed extends Error {
  override readonly name = 'KeyDestroyed'
}
