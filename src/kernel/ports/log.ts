/** A structured log: pino's shape, narrowed. Never tokens, tickets, signatures, bodies or what a person wrote. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}
