import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { pino } from 'pino'
import sharp from 'sharp'
import { expect } from 'vitest'
import { type App, type AppOptions, startApp } from '../../src/app.ts'
import { type Config, readConfig } from '../../src/config.ts'
import { type Listening, listen } from '../../src/kernel/http/listen.ts'
import type { Clock } from '../../src/kernel/ports/clock.ts'
import { mustKeepApart } from '../engines/engines.ts'
import { freshDatabase } from './database.ts'
import { environmentOf } from './engines.ts'
import { temporaryFolder } from './temporary.ts'

/** A clock that stands on the real time until a test moves it. */
export class TestClock implements Clock {
  #ahead = 0
  now = (): number => Date.now() + this.#ahead
  /** @param milliseconds to move ahead */
  advance(milliseconds: number): void {
    this.#ahead += milliseconds
  }
}

export type Answer<Body> = {
  readonly status: number
  readonly headers: Headers
  readonly body: Body
  readonly token: string | null
}

// biome-ignore lint/suspicious/noExplicitAny: answers are looked at as they come, by what each test expects of them
type Loose = any

export type Sent = {
  /** JSON, or FormData or bytes as they are. */
  body?: unknown
  headers?: Record<string, string>
  /** Consistency tokens of earlier answers. */
  after?: string | null | undefined
}

/** A person with a session: requests carry their access token, and reads see what they wrote last. */
export class Person {
  readonly #app: TestApp
  readonly id: string
  readonly username: string
  readonly password: string
  session: { id: string; accessToken: string; refreshToken: string }
  #token: string | null = null

  constructor(app: TestApp, account: { id: string; username: string }, password: string, session: Person['session']) {
    this.#app = app
    this.id = account.id
    this.username = account.username
    this.password = password
    this.session = session
  }

  /** The consistency token of this person's last command. */
  get token(): string | null {
    return this.#token
  }

  async send(method: string, path: string, sent: Sent = {}): Promise<Answer<Loose>> {
    const after = [this.#token, sent.after].filter(token => token !== null && token !== undefined).join(', ')
    const answer = await this.#app.send(method, path, {
      ...sent,
      headers: {
        Authorization: `Bearer ${this.session.accessToken}`,
        ...(after === '' ? {} : { 'Consistency-Token': after }),
        ...sent.headers,
      },
      after: null,
    })
    if (answer.token !== null) this.#token = answer.token
    return answer
  }

  get = (path: string, sent?: Sent): Promise<Answer<Loose>> => this.send('GET', path, sent)
  post = (path: string, body?: unknown, sent?: Sent): Promise<Answer<Loose>> => this.send('POST', path, { ...sent, body })
  put = (path: string, body?: unknown, sent?: Sent): Promise<Answer<Loose>> => this.send('PUT', path, { ...sent, body })
  patch = (path: string, body?: unknown, sent?: Sent): Promise<Answer<Loose>> => this.send('PATCH', path, { ...sent, body })
  delete = (path: string, sent?: Sent): Promise<Answer<Loose>> => this.send('DELETE', path, sent)

  /** Uploads a picture, made anew each time unless given. Answers the media object. */
  async upload(bytes?: Uint8Array): Promise<Loose> {
    const answer = await this.send('POST', '/media', {
      body: bytes ?? (await picture()),
      headers: { 'Content-Type': 'image/jpeg' },
    })
    expect(answer.status, JSON.stringify(answer.body)).toBe(201)
    return answer.body
  }

  /** Posts one new picture. Answers the post. */
  async publish(fields: Record<string, unknown> = {}): Promise<Loose> {
    const { id } = await this.upload()
    const answer = await this.post('/posts', { media: [{ id }], ...fields })
    expect(answer.status, JSON.stringify(answer.body)).toBe(201)
    return answer.body
  }

  async follow(other: Person): Promise<Loose> {
    const answer = await this.put(`/accounts/${other.id}/follow`, undefined, { after: other.token })
    expect(answer.status, JSON.stringify(answer.body)).toBe(200)
    return answer.body
  }
}

let shade = 0

/** A small JPEG, never twice the same. */
export async function picture(width = 64, height = 48): Promise<Buffer> {
  shade++
  // As far from the one before as JPEG can tell: a step of one it rounds away.
  const background = { r: (16 * shade) % 256, g: shade & 0xf0, b: randomBytes(1)[0]! }
  return sharp({ create: { width, height, channels: 3, background } })
    .jpeg()
    .toBuffer()
}

export type TestAppOptions = {
  config?: Partial<Config>
  clock?: TestClock
  heartbeatMs?: number
  databaseUrl?: string
  mediaDir?: string
  secret?: string
  around?: AppOptions['around']
}

/** The whole server in process, on a database and a folder of its own. */
export class TestApp {
  readonly app: App
  readonly clock: TestClock
  readonly databaseUrl: string
  readonly mediaDir: string
  readonly secret: string
  readonly #closing: (() => Promise<unknown>)[]
  #listening: Promise<Listening> | null = null
  #people = 0

  constructor(
    app: App,
    clock: TestClock,
    setup: { databaseUrl: string; mediaDir: string; secret: string },
    closing: (() => Promise<unknown>)[],
  ) {
    this.app = app
    this.clock = clock
    this.databaseUrl = setup.databaseUrl
    this.mediaDir = setup.mediaDir
    this.secret = setup.secret
    this.#closing = closing
  }

  /** One request; paths without a known root stand below /v1. Full URLs (of pictures) are taken as they are. */
  async send(method: string, path: string, { body, headers = {}, after }: Sent = {}): Promise<Answer<Loose>> {
    const raw = body instanceof FormData || body instanceof Uint8Array || typeof body === 'string'
    const url = /^https?:/.test(path)
      ? path
      : `http://localhost${/^\/(v1|dev|docs|openapi|healthz|readyz|metrics|ops)\b/.test(path) ? '' : '/v1'}${path}`
    const response = await this.app.fetch(
      new Request(url, {
        method,
        headers: {
          ...(body === undefined || raw ? {} : { 'Content-Type': 'application/json' }),
          ...(after ? { 'Consistency-Token': after } : {}),
          ...headers,
        },
        ...(body === undefined ? {} : { body: (raw ? body : JSON.stringify(body)) as NonNullable<RequestInit['body']> }),
      }),
    )
    const type = response.headers.get('content-type') ?? ''
    const answer = /json/.test(type)
      ? await response.json()
      : /text/.test(type)
        ? await response.text()
        : new Uint8Array(await response.arrayBuffer())
    return { status: response.status, headers: response.headers, body: answer, token: response.headers.get('consistency-token') }
  }

  get = (path: string, sent?: Sent): Promise<Answer<Loose>> => this.send('GET', path, sent)
  post = (path: string, body?: unknown, sent?: Sent): Promise<Answer<Loose>> => this.send('POST', path, { ...sent, body })

  /** Signs somebody up. */
  async signUp(username = `person_${++this.#people}`, fields: Record<string, unknown> = {}): Promise<Person> {
    const password = 'a long and winding password'
    const answer = await this.post('/accounts', {
      username,
      email: `${username.replaceAll('.', '_')}@example.org`,
      password,
      ...fields,
    })
    expect(answer.status, JSON.stringify(answer.body)).toBe(201)
    return new Person(this, answer.body.account, password, answer.body.session)
  }

  /** Takes a real port on loopback, with WebSockets. */
  listen(): Promise<Listening> {
    this.#listening ??= listen({ fetch: this.app.fetch, host: '127.0.0.1', port: 0, log: silent }).then(listening => {
      this.app.acceptWebSockets(listening.server)
      this.#closing.push(async () => {
        await this.app.endLive()
        await listening.close(1_000)
      })
      return listening
    })
    return this.#listening
  }

  async stop(): Promise<void> {
    for (const close of this.#closing.splice(0).reverse()) await close()
  }
}

const silent = pino({ level: process.env.TEST_LOG_LEVEL ?? 'silent' })

/** Starts one. A second one on the same database, folder and secret is another node of it. */
export async function testApp(options: TestAppOptions = {}): Promise<TestApp> {
  const clock = options.clock ?? new TestClock()
  const closing: (() => Promise<unknown>)[] = []
  let { databaseUrl, mediaDir } = options
  if (databaseUrl === undefined) {
    const fresh = await freshDatabase()
    databaseUrl = fresh.url
    closing.push(() => fresh.drop())
  }
  if (mediaDir === undefined) {
    const folder = await temporaryFolder()
    mediaDir = folder
    closing.push(() => rm(folder, { recursive: true, force: true }))
  }
  const secret = options.secret ?? randomBytes(32).toString('base64url')
  const environment = { ...environmentOf(databaseUrl), RATE_LIMIT: 'off', DATA_DIR: mediaDir }
  const config = { ...readConfig(environment), ...options.config }
  mustKeepApart(config)
  const app = await startApp({
    config,
    version: '0.0.0-test',
    databaseUrl,
    secret,
    mediaDir,
    publicUrl: 'http://localhost',
    log: silent,
    clock,
    ...(options.heartbeatMs === undefined ? {} : { heartbeatMs: options.heartbeatMs }),
    ...(options.around === undefined ? {} : { around: options.around }),
  })
  closing.push(() => app.stop())
  return new TestApp(app, clock, { databaseUrl, mediaDir, secret }, closing)
}
