import { setTimeout as pause } from 'node:timers/promises'
import { type ConnectionOptions, connect, type NatsConnection } from 'nats'
import type { Bus } from '../../kernel/ports/bus.ts'
import type { Log } from '../../kernel/ports/log.ts'
import { StartupError } from '../../kernel/startup-error.ts'
import { InProcessBus } from './in-process.ts'

export type NatsOptions = {
  /** `nats://` or `tls://`, with user:password@ or token@ if asked for; several servers of one cluster are separated by commas. */
  readonly url: string
  /** Stands before every subject, dot included, so that deployments can share one NATS. */
  readonly prefix?: string
  readonly log: Log
  /** Gets what a handler throws; the others are told all the same. */
  readonly onError: (error: unknown) => void
}

/** Bytes that the server has not confirmed before more are dropped: a frozen one must not fill our memory. */
const mostUnconfirmed = 16 * 1024 * 1024
const confirmEvery = 256 * 1024
const connectMs = 5_000
const drainMs = 2_000
const slowestReconnectMs = 5_000

/**
 * The bus of many processes: core NATS. Subscribers in the publisher's own process are told right away and by no detour, also while NATS is away; for the
 * others what is published then is dropped. Subscriptions come back with the connection.
 */
export class NatsBus implements Bus {
  readonly #connection: NatsConnection
  readonly #here: InProcessBus
  readonly #prefix: string
  readonly #log: Log
  readonly #onError: (error: unknown) => void
  #connected = true
  #closed = false
  #sent = 0
  #confirmed = 0
  #confirming = false

  private constructor(connection: NatsConnection, { prefix = '', log, onError }: NatsOptions, backoff: Backoff) {
    this.#connection = connection
    this.#here = new InProcessBus(onError)
    this.#prefix = prefix
    this.#log = log
    this.#onError = onError
    void this.#watch(backoff)
  }

  /** Waits for the first connection; a later loss is mended for ever. @throws StartupError where there is no server, or it refuses us */
  static async connect(options: NatsOptions): Promise<NatsBus> {
    const { servers, hosts, ...credentials } = serversOf(options.url)
    const backoff = new Backoff()
    try {
      const connection = await connect({
        ...credentials,
        servers,
        name: 'darkroom',
        timeout: connectMs,
        // Who publishes has told its own already.
        noEcho: true,
        pingInterval: 5_000,
        maxPingOut: 2,
        maxReconnectAttempts: -1,
        reconnectDelayHandler: () => backoff.delay,
        // Credentials may be wrong for a while, as when they are changed: that is no reason to stay away for ever.
        ignoreAuthErrorAbort: true,
      })
      return new NatsBus(connection, options, backoff)
    } catch (error) {
      throw new StartupError(`NATS at ${hosts} cannot be used (${(error as Error).message}): start it, or check NATS_URL.`, {
        cause: error,
      })
    }
  }

  publish(subject: string, message: unknown): void {
    if (this.#closed) return
    this.#here.publish(subject, message)
    if (!this.#connected || this.#sent - this.#confirmed > mostUnconfirmed) return
    try {
      const payload = Buffer.from(JSON.stringify(message))
      this.#connection.publish(this.#prefix + subject, payload)
      this.#sent += payload.length
      if (this.#sent - this.#confirmed > confirmEvery) this.#confirm()
    } catch (error) {
      this.#onError(error)
    }
  }

  subscribe(pattern: string, handler: (message: unknown, subject: string) => void): () => void {
    if (this.#closed) return () => {}
    const stop = this.#here.subscribe(pattern, handler)
    const subscription = this.#connection.subscribe(this.#prefix + pattern, {
      callback: (error, { subject, data }) => {
        if (error !== null) return this.#onError(error)
        let message: unknown
        try {
          message = JSON.parse(Buffer.from(data).toString())
        } catch {
          this.#log.warn({ subject }, 'a message on the bus is no JSON: ignored')
          return
        }
        try {
          handler(message, subject.slice(this.#prefix.length))
        } catch (thrown) {
          this.#onError(thrown)
        }
      },
    })
    return () => {
      stop()
      subscription.unsubscribe()
    }
  }

  async look(): Promise<void> {
    if (!this.#connected) throw new Error('not connected')
    await this.#connection.flush()
  }

  /** Ends after what was published is sent and what has arrived is handled, within seconds. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const ending = new AbortController()
    // While it is away there is nothing to drain, and the client would wait until it is back.
    if (this.#connected)
      await Promise.race([
        this.#connection.drain(),
        this.#connection.closed(),
        pause(drainMs, undefined, { signal: ending.signal }).catch(() => {}),
      ])
    ending.abort()
    await this.#connection.close()
  }

  /** Asks the server to confirm all that was sent so far. */
  #confirm(): void {
    if (this.#confirming) return
    this.#confirming = true
    const until = this.#sent
    this.#connection
      .flush()
      .then(
        () => {
          this.#confirmed = until
        },
        // The connection is gone, and with it what was under way.
        () => {
          this.#confirmed = this.#sent
        },
      )
      .finally(() => {
        this.#confirming = false
      })
  }

  async #watch(backoff: Backoff): Promise<void> {
    for await (const { type, data } of this.#connection.status()) {
      if (type === 'disconnect') {
        this.#connected = false
        if (!this.#closed) this.#log.warn({ server: data }, 'NATS is away: live messages and positions are found by polling')
      } else if (type === 'reconnecting') backoff.failed()
      else if (type === 'reconnect') {
        this.#connected = true
        backoff.reset()
        // As loud as its going: who read that wants to read this.
        this.#log.warn({ server: data }, 'NATS is back')
      } else if (type === 'error') this.#log.warn({ error: data }, 'NATS refuses something')
    }
    if (!this.#closed) this.#log.error({}, 'the NATS client has given up: live messages and positions are found by polling')
  }
}

/** Delays between attempts: doubling, and jittered so that a deployment does not come back all at once. */
class Backoff {
  #attempts = 0
  #delay = 0

  get delay(): number {
    return this.#delay
  }

  failed(): void {
    this.#delay = Math.min(50 * 2 ** this.#attempts++, slowestReconnectMs) * (0.5 + Math.random() / 2)
  }

  reset(): void {
    this.#attempts = 0
    this.#delay = 0
  }
}

/** What the client wants to know apart; `hosts` is what may be shown. */
function serversOf(
  url: string,
): Pick<ConnectionOptions, 'user' | 'pass' | 'token' | 'tls'> & { servers: string[]; hosts: string } {
  const urls = url.split(',').map(one => new URL(one.trim()))
  const servers = urls.map(({ hostname, port }) => `${hostname}:${port || 4222}`)
  const { username, password } = urls.find(({ username }) => username !== '') ?? { username: '', password: '' }
  const [user, pass] = [decodeURIComponent(username), decodeURIComponent(password)]
  return {
    servers,
    hosts: servers.join(', '),
    ...(user === '' ? {} : pass === '' ? { token: user } : { user, pass }),
    ...(urls.some(({ protocol }) => protocol === 'tls:') ? { tls: {} } : {}),
  }
}
