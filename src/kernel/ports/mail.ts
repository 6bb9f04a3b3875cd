import type { AccountId } from '../ids.ts'

export type Mail = {
  /** The same mail again has the same key, and is sent once. */
  readonly key: string
  /** Whom it is for: erased with them. */
  readonly accountId: AccountId
  readonly to: string
  readonly subject: string
  /** Plain text. */
  readonly text: string
}

export interface Mailer {
  send(mail: Mail): Promise<void>
  /** Forgets what is kept here of mails to an account. */
  forget(accountId: AccountId): Promise<void>
}
