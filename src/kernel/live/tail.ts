import type { Bus } from '../ports/bus.ts'
import type { Log } from '../ports/log.ts'
import { isJournalRow, type Journal, type JournalRow } from './journal.ts'

const pollMs = 1_000
const readAtOnce = 1_000

/** Follows the journal on one node: rows from the bus that continue its seq are taken as they come, anything else is read. */
export class Tail {
  readonly #journal: Journal
  readonly #log: Log
  readonly #route: (row: JournalRow) => void
  readonly #lost: () => void
  readonly #unsubscribe: () => void
  #seq = 0
  #position = 0
  #started = false
  #reading: Promise<void> | null = null
  #readAgain = false
  #interval: NodeJS.Timeout | undefined

  /** @param lost is told where rows went before they were read here: whoever listens has to begin anew */
  constructor(journal: Journal, bus: Bus, log: Log, route: (row: JournalRow) => void, lost: () => void) {
    this.#journal = journal
    this.#log = log
    this.#route = route
    this.#lost = lost
    this.#unsubscribe = bus.subscribe('darkroom.live.>', message => this.#heard(message))
  }

  /** The last row that was routed. */
  get seq(): number {
    return this.#seq
  }

  get position(): number {
    return this.#position
  }

  async start(): Promise<void> {
    const { seq, position } = await this.#journal.head()
    this.#seq = seq
    this.#position = position
    this.#started = true
    this.#interval = setInterval(() => this.#read(), pollMs)
    this.#interval.unref()
  }

  async stop(): Promise<void> {
    this.#started = false
    clearInterval(this.#interval)
    this.#unsubscribe()
    await this.#reading
  }

  #heard(row: unknown): void {
    if (!this.#started || !isJournalRow(row) || row.seq <= this.#seq) return
    if (row.seq === this.#seq + 1) this.#take(row)
    else this.#read()
  }

  #take(row: JournalRow): void {
    this.#seq = row.seq
    this.#position = row.position
    this.#route(row)
  }

  /** One read at a time; a wish that comes meanwhile reads once more. */
  #read(): void {
    if (!this.#started) return
    if (this.#reading === null) this.#reading = this.#readOn()
    else this.#readAgain = true
  }

  async #readOn(): Promise<void> {
    let full = false
    do {
      this.#readAgain = false
      try {
        const rows = await this.#journal.after(this.#seq, readAtOnce)
        const [first] = rows
        if (this.#started && first !== undefined && first.seq > this.#seq + 1) {
          this.#log.error({ after: this.#seq, oldest: first.seq }, 'slept longer than the live journal is kept')
          this.#seq = first.seq - 1
          this.#lost()
        }
        for (const row of rows) if (this.#started && row.seq === this.#seq + 1) this.#take(row)
        full = rows.length === readAtOnce
      } catch (error) {
        this.#log.warn({ error: String(error) }, 'the live journal waits for the database')
        full = false
      }
    } while (this.#started && (full || this.#readAgain))
    this.#reading = null
  }
}
