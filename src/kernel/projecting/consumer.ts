import type { LoggedEvent } from '../events.ts'
import type { Db } from '../sql.ts'

/** The right to advance a consumer's checkpoint, until another process takes it. */
export type Lease = { readonly holder: string; readonly fence: number }

/** Something that follows the log with a checkpoint under a lease: a read model, a reaction. */
export interface Consumer {
  readonly key: string
  readonly types: readonly string[]
  readonly from: 'beginning' | 'now'
  /** Does the work of these events and advances the checkpoint by `advance`, in one transaction where there are rows. */
  apply(events: readonly LoggedEvent[], advance: (db: Db) => Promise<void>): Promise<void>
}

/** Another process took the consumer over: nothing may be written any more. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost'
}
