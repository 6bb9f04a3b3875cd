import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import WebSocket from 'ws'

// biome-ignore lint/suspicious/noExplicitAny: answers are looked at as they come, by what each test expects of them
type Loose = any

export type Live = { readonly id?: string; readonly type: string; readonly at: string; readonly data: Loose }

/** A client as an app's developer would write it: repeats under the same key what got no answer, refreshes its tokens, resumes live where it stopped. */
export class Client {
  readonly url: () => string
  readonly key: boolean
  accessToken = ''
  refreshToken = ''
  /** How often its access token had expired. */
  refreshed = 0
  id = ''
  token: string | null = null
  #refreshing: Promise<void> | null = null

  /** @param url of the server, asked anew for every try @param key whether POSTs carry an Idempotency-Key */
  constructor(url: () => string, key = true) {
    this.url = url
    this.key = key
  }

  async signUp(username: string, email = `${username}@example.org`): Promise<void> {
    const { account, session } = await this.send('POST', '/accounts', {
      username,
      email,
      password: 'a long and winding password',
    })
    this.id = account.id
    this.accessToken = session.accessToken
    this.refreshToken = session.refreshToken
  }

  /** Takes new tokens, once for all who wait for them. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.send('POST', '/sessions/refresh', { refreshToken: this.refreshToken })
      .then(({ session }) => {
        this.accessToken = session.accessToken
        this.refreshToken = session.refreshToken
        this.refreshed++
      })
      .finally(() => {
        this.#refreshing = null
      })
    return this.#refreshing
  }

  /** Repeats until there is an answer; what is refused for good (4xx) throws. */
  async send(method: string, path: string, body?: unknown): Promise<Loose> {
    const key = randomUUID()
    for (;;) {
      try {
        const response = await fetch(`${this.url()}/v1${path}`, {
          method,
          headers: {
            ...(this.accessToken === '' ? {} : { Authorization: `Bearer ${this.accessToken}` }),
            ...(body instanceof Uint8Array
              ? { 'Content-Type': 'image/jpeg' }
              : body === undefined
                ? {}
                : { 'Content-Type': 'application/json' }),
            ...(method === 'POST' && this.key ? { 'Idempotency-Key': key } : {}),
            ...(this.token === null ? {} : { 'Consistency-Token': this.token }),
          },
          ...(body === undefined
            ? {}
            : { body: body instanceof Uint8Array ? (body as NonNullable<RequestInit['body']>) : JSON.stringify(body) }),
          signal: AbortSignal.timeout(20_000),
        })
        const text = await response.text()
        if (response.status === 401 && text.includes('"access_token_expired"')) {
          await this.refresh()
          continue
        }
        if (response.status < 500) {
          if (response.status >= 400) throw new Refused(`${method} ${path}: ${response.status} ${text}`)
          this.token = response.headers.get('consistency-token') ?? this.token
          return text === '' ? null : JSON.parse(text)
        }
        if (response.status === 500) throw new Refused(`${method} ${path}: 500`)
      } catch (error) {
        // Away: refused, reset or cut in the middle of the answer. Nobody knows whether it was done.
        if (error instanceof Refused) throw error
      }
      await pause(50)
    }
  }

  /**
   * Listens, across restarts, until `end`: every message of from now on once, if all is well.
   * @param resumes from its last id, the first of which it asks for; false forgets it
   */
  async live(resumes = true): Promise<{ readonly messages: Live[]; end(): void }> {
    const messages: Live[] = []
    let last: string | null = resumes ? (await this.send('POST', '/live/tickets')).lastEventId : null
    let ended = false
    let socket: WebSocket | null = null
    const open = (): void => {
      if (ended) return
      const resume = last === null ? '' : `?lastEventId=${last}`
      socket = new WebSocket(`${this.url().replace('http', 'ws')}/v1/live${resume}`, {
        headers: { Authorization: `Bearer ${this.accessToken}` },
      })
      socket.on('message', bytes => {
        const message = JSON.parse(String(bytes)) as Live
        messages.push(message)
        if (resumes && message.id !== undefined) last = message.id
      })
      socket.on('error', () => {})
      let over = false
      const again = (): void => {
        if (!over) setTimeout(open, 50)
        over = true
      }
      socket.on('close', again)
      socket.on('unexpected-response', (request, { statusCode }) => {
        request.destroy()
        if (statusCode === 401) this.refresh().catch(error => messages.push({ type: `refused: ${error}`, at: '', data: null }))
        again()
      })
    }
    open()
    return {
      messages,
      end() {
        ended = true
        socket?.terminate()
      },
    }
  }
}

/** The server has answered, and will say the same again. */
export class Refused extends Error {}
