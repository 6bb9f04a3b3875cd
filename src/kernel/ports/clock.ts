/** The time, as a port: that of the database, or one that a test moves. */
export interface Clock {
  /** Milliseconds since 1970, UTC. */
  now(): number
}

/** The instant as ISO 8601 in UTC, milliseconds. */
export const iso = (milliseconds: number): string => new Date(milliseconds).toISOString()
