import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { AwsV4Signer } from 'aws4fetch'
import { type Clock, iso } from '../../kernel/ports/clock.ts'
import type { Log } from '../../kernel/ports/log.ts'
import type { Storage } from '../../kernel/ports/storage.ts'
import { unavailable } from '../../kernel/problem.ts'
import { StartupError } from '../../kernel/startup-error.ts'
import { contentTypeOf, isPrefix, mustBePrefix, mustStandFor, typeOf } from './keys.ts'

export type S3Options = {
  /** `https://KEY:SECRET@host/bucket?region=…&path-style=1&public-url=https://…` */
  readonly url: string
  /** Stands before every key, so that deployments can share one bucket. */
  readonly prefix?: string
  readonly log: Log
  /** What requests are signed by: a store refuses those of another time. */
  readonly clock: Clock
  /** Milliseconds within which the store must answer, 15 s by default; an object that is read may take longer to arrive. */
  readonly answerMs?: number
  /** Keys to a page of a list; as many as the store likes by default, which is 1,000. */
  readonly pageKeys?: number
}

/** A URL that opens a picture to anybody serves so many seconds at most. */
const longestPresigned = 60
/** Copies of a picture outlive what its owner wants no more than a URL to it does. */
const cacheControl = `private, max-age=${longestPresigned}`

const mostTries = 3
const removedAtOnce = 16

/**
 * Storage in a bucket of S3 or what speaks its protocol. What the store does not do is 503 `unavailable` after a few tries.
 * @throws StartupError where the bucket cannot be used
 */
export async function s3Storage(options: S3Options): Promise<Storage> {
  const { prefix: before = '', pageKeys } = options
  const bucket = new Bucket(settingsOf(options.url), options)
  const inBucket = (key: string): string => `/${before}${key}`

  async function* pages(prefix: string): AsyncGenerator<string[]> {
    const query = { prefix: before + prefix, ...(pageKeys === undefined ? {} : { 'max-keys': String(pageKeys) }) }
    let token: string | undefined
    do {
      const page = await bucket.list({ ...query, ...(token === undefined ? {} : { 'continuation-token': token }) })
      // Whatever else somebody has put there is not ours.
      yield page.keys.map(key => key.slice(before.length)).filter(key => key.startsWith(prefix) && typeOf(key) !== null)
      token = page.next
    } while (token !== undefined)
  }
  const removeOne = async (key: string): Promise<void> => {
    await bucket.send('DELETE', inBucket(key))
  }

  await bucket.mustBeUsable()
  return {
    async put(key, bytes, contentType) {
      mustStandFor(key, contentType)
      await bucket.send('PUT', inBucket(key), { bytes, headers: { 'Content-Type': contentType, 'Cache-Control': cacheControl } })
    },

    async get(key) {
      const contentType = contentTypeOf(key)
      const response = await bucket.send('GET', inBucket(key), { open: true })
      if (response === null) return null
      return { stream: response.body ?? new Blob([]).stream(), size: Number(response.headers.get('content-length')), contentType }
    },

    async remove(keyOrPrefix) {
      if (!isPrefix(keyOrPrefix)) {
        contentTypeOf(keyOrPrefix)
        return removeOne(keyOrPrefix)
      }
      for await (const keys of pages(keyOrPrefix))
        for (let from = 0; from < keys.length; from += removedAtOnce)
          await Promise.all(keys.slice(from, from + removedAtOnce).map(removeOne))
    },

    async *list(prefix) {
      mustBePrefix(prefix)
      for await (const keys of pages(prefix)) yield* keys
    },

    look: () => bucket.look(),

    async presign(key, seconds) {
      contentTypeOf(key)
      if (!(seconds >= 1 && seconds <= longestPresigned))
        throw new RangeError(`A URL serves 1 to ${longestPresigned} seconds, not ${seconds}`)
      return bucket.presigned(inBucket(key), seconds)
    },
  }
}

type Settings = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly region: string
  /** What may be shown: host and bucket. */
  readonly shown: string
  /** Where the bucket is, for us and for clients, without a slash at the end. */
  readonly base: string
  readonly publicBase: string
}

const known = ['region', 'path-style', 'public-url', 'plain']

/** @throws StartupError that never repeats the URL: it holds a secret */
function settingsOf(url: string): Settings {
  const { protocol, host, pathname, username, password, searchParams } = new URL(url)
  const refuse = (what: string): never => {
    throw new StartupError(
      `S3_URL ${what}: write https://KEY:SECRET@host/bucket?region=…, and path-style=1 where the host asks for it.`,
    )
  }
  const bucket = /^\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/?$/.exec(pathname)?.[1]
  if (bucket === undefined) return refuse('names no bucket')
  if (username === '' || password === '') return refuse('lacks the key or its secret')
  const strange = [...searchParams.keys()].find(name => !known.includes(name))
  if (strange !== undefined) return refuse(`has a parameter that is not known, ${strange}`)
  const publicUrl = searchParams.get('public-url')
  if (publicUrl !== null && !/^https?:$/.test(URL.parse(publicUrl)?.protocol ?? ''))
    return refuse('has a public-url that is none')
  const at = (origin: URL): string =>
    searchParams.get('path-style') === '1' ? `${origin.origin}/${bucket}` : `${origin.protocol}//${bucket}.${origin.host}`
  const origin = new URL(`${protocol}//${host}`)
  return {
    accessKeyId: decodeURIComponent(username),
    secretAccessKey: decodeURIComponent(password),
    region: searchParams.get('region') ?? 'us-east-1',
    shown: `${host}/${bucket}`,
    base: at(origin),
    publicBase: at(publicUrl === null ? origin : new URL(publicUrl)),
  }
}

type Sent = { bytes?: Uint8Array; headers?: Record<string, string>; open?: boolean }

/** The store did not do what it was asked, and may the next time. */
class Refused extends Error {
  readonly again: boolean

  constructor(reason: string, again: boolean, cause?: unknown) {
    super(reason, { cause })
    this.again = again
  }
}

/** The protocol: signed requests to one bucket. */
class Bucket {
  readonly #settings: Settings
  readonly #log: Log
  readonly #clock: Clock
  readonly #answerMs: number
  /** Keys that were derived to sign by, one a day. */
  readonly #cache = new Map<string, ArrayBuffer>()

  constructor(settings: Settings, { log, clock, answerMs = 15_000 }: S3Options) {
    this.#settings = settings
    this.#log = log
    this.#clock = clock
    this.#answerMs = answerMs
  }

  /** A request about `/key`, or by `?query` about the bucket; `null` where there is nothing. @throws Problem unavailable */
  async send(method: 'GET' | 'PUT' | 'DELETE', target: string, sent: Sent = {}): Promise<Response | null> {
    try {
      return await this.#insist(method, this.#settings.base + target, sent)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      this.#log.warn({ method, store: this.#settings.shown, reason: error.message }, 'the store of pictures failed')
      throw unavailable('The store of pictures does not answer as it should right now; try again.', 2, error)
    }
  }

  /** A page of keys, and the token for the next. @throws Problem unavailable */
  async list(query: Record<string, string>): Promise<{ keys: string[]; next: string | undefined }> {
    const response = await this.send('GET', `?${new URLSearchParams({ 'list-type': '2', ...query })}`)
    const text = (await response?.text()) ?? ''
    const next = /<NextContinuationToken>([^<]+)</.exec(text)?.[1]
    const whole = /<IsTruncated>false</.test(text)
    if (!/<ListBucketResult\b/.test(text) || whole === (next !== undefined))
      throw unavailable('The store of pictures does not answer as it should right now; try again.', 2)
    return {
      keys: [...text.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => unescaped(key!)),
      next: next === undefined ? undefined : unescaped(next),
    }
  }

  /** One small request, without a second try. @throws Refused */
  async look(): Promise<void> {
    const found = await this.#once('GET', `${this.#settings.base}?list-type=2&max-keys=1`, {})
    if (found === null) throw new Refused('404 NoSuchBucket', false)
  }

  /** @throws StartupError */
  async mustBeUsable(): Promise<void> {
    const { base, shown } = this.#settings
    try {
      if ((await this.#insist('GET', `${base}?list-type=2&max-keys=1`, {})) === null) throw new Refused('404 NoSuchBucket', false)
    } catch (error) {
      const reason = error instanceof Refused ? error.message : String(error)
      throw new StartupError(`The S3 store at ${shown} cannot be used (${reason}): start it, or check S3_URL.`, { cause: error })
    }
    // Not every store can tell.
    const versioning = await this.#insist('GET', `${base}?versioning`, {}).catch(() => null)
    if (/<Status>Enabled</.test((await versioning?.text()) ?? ''))
      this.#log.warn(
        { store: shown },
        'the bucket keeps versions: let it expire those that are not current, or removed pictures stay in it',
      )
  }

  async presigned(target: string, seconds: number): Promise<string> {
    const signer = this.#signer('GET', `${this.#settings.publicBase}${target}?X-Amz-Expires=${seconds}`, { signQuery: true })
    return (await signer.sign()).url.href
  }

  #signer(method: string, url: string, init: { signQuery?: boolean; headers?: Record<string, string> }): AwsV4Signer {
    const { accessKeyId, secretAccessKey, region } = this.#settings
    const datetime = iso(this.#clock.now()).replace(/[:-]|\.\d{3}/g, '')
    const cache = this.#cache
    return new AwsV4Signer({ accessKeyId, secretAccessKey, region, service: 's3', datetime, cache, method, url, ...init })
  }

  /** Again and again, for each of our requests may come twice. @throws Refused */
  async #insist(method: string, url: string, sent: Sent): Promise<Response | null> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#once(method, url, sent)
      } catch (error) {
        if (!(error instanceof Refused && error.again) || tries === mostTries) throw error
        await pause(100 * 2 ** tries * (0.5 + Math.random() / 2))
      }
    }
  }

  async #once(method: string, url: string, { bytes, headers = {}, open = false }: Sent): Promise<Response | null> {
    // The store refuses a body that changed on its way.
    const hash = bytes === undefined ? 'UNSIGNED-PAYLOAD' : createHash('sha256').update(bytes).digest('hex')
    const signed = await this.#signer(method, url, { headers: { ...headers, 'X-Amz-Content-Sha256': hash } }).sign()
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), this.#answerMs)
    try {
      const response = await fetch(signed.url, {
        method,
        headers: signed.headers,
        redirect: 'manual',
        signal: late.signal,
        ...(bytes === undefined ? {} : { body: bytes as Uint8Array<ArrayBuffer> }),
      })
      if (response.ok && open) return response
      const text = await response.text()
      if (response.ok) return new Response(text === '' ? null : text, { status: 200 })
      const code = /<Code>(\w+)</.exec(text)?.[1] ?? ''
      if (response.status === 404 && (code === 'NoSuchKey' || code === '')) return null
      throw new Refused(`${response.status} ${code}`.trim(), response.status >= 500 || response.status === 429)
    } catch (error) {
      if (error instanceof Refused) throw error
      // A store that is frozen would be waited for three times.
      if (late.signal.aborted) throw new Refused(`no answer within ${this.#answerMs} ms`, false, error)
      throw new Refused(causeOf(error), true, error)
    } finally {
      clearTimeout(timer)
    }
  }
}

/** `fetch failed` says nothing; its cause does. */
const causeOf = (error: unknown): string => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  return cause instanceof Error ? ('code' in cause ? String(cause.code) : cause.message) : String(cause)
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

/** The text of an XML element. */
const unescaped = (text: string): string =>
  text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) =>
    name === undefined
      ? String.fromCodePoint(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16))
      : (entities[name] ?? whole),
  )
