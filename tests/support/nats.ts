import { inject } from 'vitest'
import { type Nats, natsServer, startNats } from './nats-server.ts'

export { type Nats, natsServer, startNats }

const { NATS_URL } = inject('engines').given

/** Whether this run has a NATS: one that was given, or one to start. */
export const hasNats = NATS_URL !== undefined || natsServer !== null

/** The NATS of this run, for those who only use it: the one that was given, or one of its own. */
export const runNats = (): Promise<Pick<Nats, 'url' | 'end'>> =>
  NATS_URL === undefined ? startNats() : Promise.resolve({ url: NATS_URL, end: async () => {} })
