/** The time, as a port: tests move it. */
export interface Clock {
  /** Milliseconds since 1970, UTC. */
  now(): number
}

export const systemClock: Clock = { now: Date.now }

/** The instant as ISO 8601 in UTC, milliseconds. */
export const iso = (milliseconds: number): string => new Date(milliseconds).toISOString()
