import { createHash, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type S3Options, s3Storage } from '../../src/adapters/storage/s3.ts'
import type { Log } from '../../src/kernel/ports/log.ts'
import type { Storage } from '../../src/kernel/ports/storage.ts'
import { Problem } from '../../src/kernel/problem.ts'
import { StartupError } from '../../src/kernel/startup-error.ts'
import { awsSignature } from '../support/aws-signature.ts'
import { type S3, startS3 } from '../support/s3.ts'
import { freePort } from '../support/server.ts'
import { bytes, keysUnder, storageContract, textOf } from './storage.ts'

const keptLog = (): { log: Log; said: string } => {
  const kept = { said: '', log: null as unknown as Log }
  const say = (fields: object, message: string): void => {
    kept.said += `${message} ${JSON.stringify(fields)}\n`
  }
  kept.log = { debug: say, info: say, warn: say, error: say }
  return kept
}

const open = (options: Partial<S3Options> & { url: string }): Promise<Storage> =>
  s3Storage({ log: keptLog().log, clock: { now: Date.now }, ...options })
const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  )

/** A real store shows the same, in a place of its own. */
const { S3_URL: given } = process.env
describe.skipIf(given === undefined)('on a store of its operator (S3_URL)', () => {
  const run = `contract-${randomUUID()}-`
  const opened: Storage[] = []
  afterAll(async () => {
    for (const storage of opened) for (const prefix of ['media/', 'other/']) await storage.remove(prefix)
  })
  storageContract('S3 (S3_URL)', async () => {
    const storage = await open({ url: given!, prefix: `${run}${opened.length}-` })
    opened.push(storage)
    return storage
  })
})

describe('S3, by s3rver', () => {
  let server: S3
  beforeAll(async () => {
    server = await startS3()
  })
  afterAll(() => server.end())
  let tests = 0
  const opened = (options: Partial<S3Options> = {}): Promise<Storage> =>
    open({ url: server.url, prefix: `place-${tests++}-`, ...options })

  storageContract('s3rver', () => opened())

  it('lists and removes page by page', async () => {
    const storage = await opened({ pageKeys: 10 })
    const keys = Array.from({ length: 25 }, (_, index) => `media/many/r${index + 10}.jpg`)
    await Promise.all([...keys, 'media/other/x.jpg'].map(key => storage.put(key, bytes(key), 'image/jpeg')))
    expect(await keysUnder(storage, 'media/many/')).toEqual(keys)
    await storage.remove('media/many/')
    expect(await keysUnder(storage, 'media/')).toEqual(['media/other/x.jpg'])
  })

  it('shares a bucket with others, each below a prefix of its own', async () => {
    const [one, two, whole] = [
      await opened({ prefix: 'one_' }),
      await opened({ prefix: 'one_two_' }),
      await opened({ prefix: '' }),
    ]
    for (const storage of [one, two]) await storage.put('media/a/x.jpg', bytes('x'), 'image/jpeg')
    await one.remove('media/')
    expect(await keysUnder(one, 'media/')).toEqual([])
    expect(await keysUnder(two, 'media/')).toEqual(['media/a/x.jpg'])
    expect(await keysUnder(whole, 'media/')).toEqual([])
  })

  describe('a presigned URL', () => {
    it('opens the one object to anybody, as what it is, and no shared cache keeps it', async () => {
      const storage = await opened()
      for (const key of ['media/a/x.jpg', 'media/a/y.jpg']) await storage.put(key, bytes(key), 'image/jpeg')
      const url = await storage.presign!('media/a/x.jpg', 60)
      const found = await fetch(url)
      expect(found.status).toBe(200)
      expect(found.headers.get('content-type')).toBe('image/jpeg')
      expect(found.headers.get('cache-control')).toBe('private, max-age=60')
      expect(await found.text()).toBe('media/a/x.jpg')
      for (const other of [
        url.replace('/x.jpg', '/y.jpg'),
        url.replace('Expires=60', 'Expires=3600'),
        url.replace(/Signature=./, found => (found.endsWith('0') ? 'Signature=1' : 'Signature=0')),
      ])
        expect((await fetch(other)).status).toBe(403)
      expect((await fetch(url, { method: 'DELETE' })).status).toBe(403)
    })

    it('serves so long and no longer', async () => {
      const storage = await opened()
      await storage.put('media/a/x.jpg', bytes('x'), 'image/jpeg')
      const url = await storage.presign!('media/a/x.jpg', 1)
      await expect.poll(async () => (await fetch(url)).status, { timeout: 20_000 }).toBe(403)
      expect((await fetch(await storage.presign!('media/a/x.jpg', 60))).status).toBe(200)
    })

    it('is not made for longer than a minute, nor for what is no key', async () => {
      const storage = await opened()
      for (const seconds of [0, -1, 61, Number.NaN])
        await expect(storage.presign!('media/a/x.jpg', seconds)).rejects.toThrow(RangeError)
      await expect(storage.presign!('../x.jpg', 60)).rejects.toThrow('Not a storage key')
    })
  })

  describe('a start that cannot succeed', () => {
    it.each<[string, (url: string) => string, RegExp]>([
      ['a wrong secret', url => url.replace(':S3RVER@', ':another-secret@'), /403 SignatureDoesNotMatch/],
      ['a wrong key', url => url.replace('//S3RVER:', '//NOBODY:'), /403 InvalidAccessKeyId/],
      ['a bucket that is not there', url => url.replace('/pictures?', '/others?'), /404 NoSuchBucket/],
    ])('says what is wrong: %s', async (_, change, expected) => {
      const refused = await failure(opened({ url: change(server.url) }))
      expect(refused).toBeInstanceOf(StartupError)
      expect(String(refused)).toMatch(expected)
      expect(String(refused)).toMatch(
        /^StartupError: The S3 store at 127\.0\.0\.1:\d+\/\w+ cannot be used \([^\n]*\): start it, or check S3_URL\.$/,
      )
      expect(String(refused)).not.toContain('another-secret')
    })
  })
})

describe('S3_URL', () => {
  it.each([
    ['https://KEY:SECRET@s3.example', 'names no bucket'],
    ['https://KEY:SECRET@s3.example/', 'names no bucket'],
    ['https://KEY:SECRET@s3.example/a/b', 'names no bucket'],
    ['https://KEY:SECRET@s3.example/Bucket_', 'names no bucket'],
    ['https://s3.example/pictures', 'lacks the key or its secret'],
    ['https://KEY@s3.example/pictures', 'lacks the key or its secret'],
    ['https://KEY:SECRET@s3.example/pictures?regoin=eu', 'regoin'],
    ['https://KEY:SECRET@s3.example/pictures?public-url=pictures.example', 'public-url'],
  ])('refuses %s', async (url, expected) => {
    const refused = await failure(open({ url }))
    expect(refused).toBeInstanceOf(StartupError)
    expect(String(refused)).toContain(expected)
    expect(String(refused)).not.toContain(url)
  })

  it('says in one line that nobody is there', async () => {
    const refused = await failure(open({ url: `http://KEY:secret-word@127.0.0.1:${await freePort()}/pictures?path-style=1` }))
    expect(String(refused)).toMatch(/^StartupError: [^\n]*\(ECONNREFUSED\)[^\n]*$/)
    expect(String(refused)).not.toContain('secret-word')
  })
})

/** AWS's own examples (Amazon S3 API Reference, "Signature Calculations"), which the check of ours has to agree with first. */
const example = {
  secret: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  region: 'us-east-1',
  date: '20130524T000000Z',
  host: 'examplebucket.s3.amazonaws.com',
}
const nothing = createHash('sha256').digest('hex')

describe('signatures', () => {
  it('are checked by what agrees with AWS’s published examples', () => {
    const { host, ...rest } = example
    const base = { ...rest, payload: nothing, method: 'GET' }
    const headers = { host, 'x-amz-content-sha256': nothing, 'x-amz-date': rest.date }
    expect(awsSignature({ ...base, url: `https://${host}/test.txt`, headers: { ...headers, range: 'bytes=0-9' } })).toBe(
      'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    )
    expect(awsSignature({ ...base, url: `https://${host}/?max-keys=2&prefix=J`, headers })).toBe(
      '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    )
    const query = new URLSearchParams({
      'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
      'X-Amz-Credential': 'AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request',
      'X-Amz-Date': rest.date,
      'X-Amz-Expires': '86400',
      'X-Amz-SignedHeaders': 'host',
    })
    const url = `https://${host}/test.txt?${query}`
    expect(awsSignature({ ...base, url, headers: { host }, payload: 'UNSIGNED-PAYLOAD' })).toBe(
      'aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
    )
  })

  it.each([
    ['', 'pictures.s3.example:9000', 'https://pictures.s3.example:9000/media/a/x.jpg'],
    ['path-style=1', 's3.example:9000', 'https://s3.example:9000/pictures/media/a/x.jpg'],
    [
      'path-style=1&region=eu-central-1&public-url=http://cdn.example',
      's3.example:9000',
      'http://cdn.example/pictures/media/a/x.jpg',
    ],
    ['public-url=https%3A%2F%2Fcdn.example%2F', 'pictures.s3.example:9000', 'https://pictures.cdn.example/media/a/x.jpg'],
  ])('of URLs for clients, with “%s”', async (query, own, expected) => {
    // A bucket that is part of the host's name is not found on loopback.
    const asked = vi.spyOn(globalThis, 'fetch').mockImplementation(async () => new Response(emptyList))
    const secret = 'p@ss/word+1'
    const storage = await open({ url: `https://KEY:${encodeURIComponent(secret)}@s3.example:9000/pictures?${query}` })
    expect(asked.mock.calls.map(([url]) => new URL(String(url)).host)).toEqual([own, own])
    const url = new URL(await storage.presign!('media/a/x.jpg', 60))
    expect(url.origin + url.pathname).toBe(expected)
    const named = (name: string): string => url.searchParams.get(`X-Amz-${name}`)!
    expect([named('Expires'), named('SignedHeaders')]).toEqual(['60', 'host'])
    const [key, , region] = named('Credential').split('/')
    expect(key).toBe('KEY')
    const signed = {
      method: 'GET',
      url: url.href,
      headers: { host: url.host },
      payload: 'UNSIGNED-PAYLOAD',
      secret,
      region: region!,
    }
    expect(named('Signature')).toBe(awsSignature({ ...signed, date: named('Date') }))
    expect(region).toBe(/region=([\w-]+)/.exec(query)?.[1] ?? 'us-east-1')
  })

  it('of requests, with the hash of what is put', async () => {
    const requests: IncomingMessage[] = []
    const forged = await forgedStore((request, response) => {
      requests.push(request)
      request.resume().on('end', () => response.end(emptyList))
    })
    const storage = await open({ url: forged.url })
    await storage.put('media/a/x.jpg', bytes('picture'), 'image/jpeg')
    await storage.remove('media/a/x.jpg')
    await storage.remove('media/a/')
    expect(requests.map(({ method }) => method)).toEqual(['GET', 'GET', 'PUT', 'DELETE', 'GET'])
    for (const { method, url, headers } of requests) {
      const [, scope, names, signature] = /^AWS4-HMAC-SHA256 Credential=KEY\/(\S+), SignedHeaders=(\S+), Signature=(\w+)$/.exec(
        headers.authorization!,
      )!
      const signed = Object.fromEntries(names!.split(';').map(name => [name, String(headers[name])]))
      const payload = String(headers['x-amz-content-sha256'])
      expect(payload).toBe(method === 'PUT' ? createHash('sha256').update('picture').digest('hex') : 'UNSIGNED-PAYLOAD')
      const date = String(headers['x-amz-date'])
      const at = { method: method!, url: `http://${forged.host}${url}`, headers: signed, payload, date }
      expect(signature).toBe(awsSignature({ ...at, secret: 'SECRET', region: scope!.split('/')[1]! }))
    }
  })
})

const emptyList = '<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>'

const forged: Server[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const server of forged.splice(0)) {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
})

/** A store on loopback that does what the test wants. */
async function forgedStore(answer: RequestListener): Promise<{ url: string; host: string }> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  forged.push(server)
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url: `http://KEY:SECRET@${host}/pictures?path-style=1`, host }
}

describe('a store that fails', () => {
  /** Opens one, then lets it answer otherwise. */
  const failing = async (answer: RequestListener, options: Partial<S3Options> = {}) => {
    const kept = keptLog()
    let asked = 0
    let fails = false
    const store = await forgedStore((request, response) => {
      request.resume()
      if (!fails) return response.end(emptyList)
      asked++
      return answer(request, response)
    })
    const storage = await open({ url: store.url, log: kept.log, ...options })
    fails = true
    return { storage, kept, asked: () => asked }
  }
  const refusing =
    (status: number, code: string): RequestListener =>
    (_, response) => {
      response.writeHead(status).end(code === '' ? '' : `<Error><Code>${code}</Code></Error>`)
    }

  const unavailable = async (work: Promise<unknown>): Promise<void> => {
    const error = await failure(work)
    expect(error).toBeInstanceOf(Problem)
    expect(error).toMatchObject({ status: 503, code: 'unavailable', headers: { 'Retry-After': '2' } })
  }

  it('is asked again, and nobody notices', async () => {
    const answers = [refusing(503, 'SlowDown'), ((_, response) => response.destroy()) satisfies RequestListener]
    const { storage, kept, asked } = await failing((request, response) =>
      (answers.shift() ?? ((_, response) => response.end('picture')))(request, response),
    )
    expect(await textOf(await storage.get('media/a/x.jpg'))).toBe('picture')
    expect(asked()).toBe(3)
    expect(kept.said).toBe('')
  })

  it('is given up after three times: 503, and a line in the log without any secret', async () => {
    const { storage, kept, asked } = await failing(refusing(500, 'InternalError'))
    await unavailable(storage.put('media/a/x.jpg', bytes('x'), 'image/jpeg'))
    expect(asked()).toBe(3)
    expect(kept.said).toMatch(
      /^the store of pictures failed \{"method":"PUT","store":"127.0.0.1:\d+\/pictures","reason":"500 InternalError"\}\n$/,
    )
    await unavailable(storage.remove('media/a/x.jpg'))
    await unavailable(keysUnder(storage, 'media/'))
  })

  it.each<[number, string]>([
    [403, 'AccessDenied'],
    [404, 'NoSuchBucket'],
    [301, 'PermanentRedirect'],
    [400, 'ExpiredToken'],
  ])('is not asked again where it refuses: %i %s', async (status, code) => {
    const { storage, asked } = await failing(refusing(status, code))
    await unavailable(storage.get('media/a/x.jpg'))
    expect(asked()).toBe(1)
  })

  it('has no object where it says so', async () => {
    for (const code of ['NoSuchKey', '']) {
      const { storage } = await failing(refusing(404, code))
      expect(await storage.get('media/a/x.jpg')).toBeNull()
    }
  })

  it('is not waited for when it is frozen', async () => {
    const { storage, kept, asked } = await failing(() => {}, { answerMs: 200 })
    await unavailable(storage.get('media/a/x.jpg'))
    await unavailable(storage.put('media/a/x.jpg', bytes('x'), 'image/jpeg'))
    expect(asked()).toBe(2)
    expect(kept.said).toContain('no answer within 200 ms')
  })

  it('that breaks off in the middle of an object is seen by who reads it', async () => {
    const { storage } = await failing((_, response) => {
      response.writeHead(200, { 'Content-Length': '1000' }).write('half', () => response.destroy())
    })
    const found = await storage.get('media/a/x.jpg')
    expect(found?.size).toBe(1000)
    await expect(textOf(found)).rejects.toThrow()
  })

  it.each(['<html>Sign in</html>', '<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>', ''])(
    'answers a list with what is none: %s',
    async body => {
      const { storage } = await failing((_, response) => response.end(body))
      await unavailable(keysUnder(storage, 'media/'))
      await unavailable(storage.remove('media/'))
    },
  )

  it('has keys of others, which are left alone, and writes tokens as XML has them', async () => {
    const queries: URLSearchParams[] = []
    const removed: string[] = []
    const key = (name: string): string => `<Contents><Key>${name}</Key></Contents>`
    const { storage } = await failing((request, response) => {
      const { pathname, searchParams } = new URL(`http://store${request.url}`)
      if (request.method === 'DELETE') removed.push(pathname)
      else queries.push(searchParams)
      const more = request.method === 'GET' && searchParams.get('continuation-token') === null
      response.end(`<ListBucketResult>${key('media/a/x.jpg')}${key('media/a/R&amp;D &#x2F;&#47;.txt')}${key('media/a/')}
        <IsTruncated>${more}</IsTruncated>${more ? '<NextContinuationToken>a&amp;b+/=</NextContinuationToken>' : ''}</ListBucketResult>`)
    })
    await storage.remove('media/a/')
    expect(queries.map(query => query.get('continuation-token'))).toEqual([null, 'a&b+/='])
    expect(removed).toEqual(['/pictures/media/a/x.jpg', '/pictures/media/a/x.jpg'])
  })

  it('that keeps versions is told of at the start', async () => {
    const kept = keptLog()
    const store = await forgedStore((request, response) =>
      response.end(request.url!.includes('versioning') ? '<VersioningConfiguration><Status>Enabled</Status>' : emptyList),
    )
    await open({ url: store.url, log: kept.log })
    expect(kept.said).toContain('the bucket keeps versions')
  })
})

it('a put that fails and one that succeeds leave no timer behind', async () => {
  const store = await forgedStore((_, response) => response.end(emptyList))
  const storage = await open({ url: store.url })
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    await storage.remove('media/a/x.jpg')
    expect(vi.getTimerCount()).toBe(0)
  } finally {
    vi.useRealTimers()
  }
})
