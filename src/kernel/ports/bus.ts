/** Hints between processes: at most once, never the truth. What must not be lost is read from Postgres. */
export interface Bus {
  /** Does not wait; while the bus is away the message is dropped, and the poll of its readers finds what it announced. */
  publish(subject: string, message: unknown): void
  /** `*` stands for one word of the subject, `>` at its end for all that follow (as in NATS). Returns how to stop. */
  subscribe(pattern: string, handler: (message: unknown, subject: string) => void): () => void
  /** Rejects where what carries it between processes is away. */
  look?(): Promise<void>
  close(): Promise<void>
}
