import type { Actor, Execute } from '../kernel/execute.ts'
import type { GuessLimiter } from '../kernel/http/guesses.ts'
import type { AccountId } from '../kernel/ids.ts'
import type { AccessTokens } from '../kernel/ports/access-tokens.ts'
import type { Imaging } from '../kernel/ports/imaging.ts'
import type { KeyStore } from '../kernel/ports/key-store.ts'
import type { Passwords } from '../kernel/ports/passwords.ts'
import type { Sessions } from '../kernel/ports/sessions.ts'
import type { Storage } from '../kernel/ports/storage.ts'
import type { ReadModel } from '../kernel/projecting/model.ts'
import type { Reading } from '../reading/context.ts'

/** What every use case needs. */
export type Commands = {
  readonly execute: Execute
  readonly reading: Reading
  readonly keys: KeyStore
  readonly passwords: Passwords
  readonly accessTokens: AccessTokens
  readonly sessions: Sessions
  readonly guesses: GuessLimiter
  readonly imaging: Imaging
  readonly storage: Storage
  /**
   * Waits until the models have everything up to the position: commands that take a right away are acknowledged only when what the rules read has
   * committed it. @throws Problem read_model_behind (503): a repeat finishes it
   */
  settled(position: number, models: readonly ReadModel[]): Promise<void>
}

/** Who acts in a use case that wants somebody signed in. */
export type SignedInActor = Actor & { readonly id: AccountId }
