import type { AccountId } from '../ids.ts'

/** Who mails are from. */
export type Sender = { readonly name: string; readonly address: string }

const address = /^[^\s@<>()[\]\\,;:"\p{C}]+@[^\s@<>()[\]\\,;:"\p{C}]+$/u

/** Whether a text is one address of mail and nothing else: nothing that ends a header, begins another address or asks for a quote. */
export const isMailAddress = (text: string): boolean => text.length <= 254 && address.test(text)

/** A sender as `post@photos.example` or `Photos <post@photos.example>`; null for anything else. */
export function senderOf(text: string): Sender | null {
  const [, name = '', named] = /^([^<>"\p{C}]{0,100}?) *<([^<>]*)>$/u.exec(text) ?? []
  const address = named ?? text
  return isMailAddress(address) ? { name, address } : null
}

export type Mail = {
  /** The same mail again has the same key, and is sent once: known for a week. */
  readonly key: string
  /** Whom it is for: erased with them. */
  readonly accountId: AccountId
  readonly to: string
  readonly subject: string
  /** Plain text. */
  readonly text: string
}

export interface Mailer {
  /** Takes a mail, and sees to it from there: it is delivered soon, or not for a day and then no more. */
  send(mail: Mail): Promise<void>
  /** Forgets what is kept here of mails to an account. */
  forget(accountId: AccountId): Promise<void>
  /** Removes what is kept here of mails of long ago, with their keys: by then nobody repeats them. Says how many. */
  sweep(): Promise<number>
}
