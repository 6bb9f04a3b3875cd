/** A start that cannot succeed, for a reason that the operator can mend: its message is one line that says what is wrong and what to do. */
export class StartupError extends Error {
  override readonly name = 'StartupError'
}
