import { randomBytes, randomUUID } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attachMedia, mediaSweep } from '../../src/commands/media.ts'
import { timersModel } from '../../src/kernel/timers.ts'
import { mediaFolder } from '../../src/reading/pictures.ts'
import { type Answer, type Person, picture, type TestApp, TestClock, testApp } from '../support/app.ts'
import { eventsBehind } from '../support/log.ts'

type Media = { id: string; renditions: { name: string; url: string; width: number; height: number }[] }

let app: TestApp
let ada: Person
let ben: Person
beforeAll(async () => {
  app = await testApp()
  ada = await app.signUp()
  ben = await app.signUp()
})
afterAll(() => app.stop())

const uploadRaw = (who: Person, bytes: Uint8Array, headers: Record<string, string> = {}) =>
  who.post('/media', bytes, { headers: { 'Content-Type': 'image/jpeg', ...headers } })

const urlOf = (media: Media, name = 'thumbnail'): string => media.renditions.find(rendition => rendition.name === name)!.url

/** All files that are kept of an account's pictures. */
const filesOf = async (person: Person): Promise<string[]> => {
  try {
    return await readdir(join(app.mediaDir, mediaFolder(person.id)), { recursive: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

const form = (...files: [name: string, value: string | Blob][]): FormData => {
  const data = new FormData()
  for (const [name, value] of files) data.append(name, value)
  return data
}
const blob = (bytes: Uint8Array): Blob => new Blob([new Uint8Array(bytes)], { type: 'image/png' })

describe('an upload', () => {
  it('that hangs takes its account’s share of the memory, not that of others', async () => {
    const hanging: ReadableStreamDefaultController[] = []
    const answers = Array.from({ length: 3 }, () => {
      const body = new ReadableStream({ start: controller => void hanging.push(controller) })
      const headers = { Authorization: `Bearer ${ada.session.accessToken}`, 'Content-Length': String(50 * 1024 * 1024) }
      return app.app.fetch(new Request('http://localhost/v1/media', { method: 'POST', body, headers, duplex: 'half' }))
    })
    const refused = await Promise.race(answers)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5'])
    expect((await uploadRaw(ben, await picture(10, 10))).status).toBe(201)
    for (const controller of hanging) controller.error(new Error('gone'))
    expect((await Promise.all(answers)).map(({ status }) => status).sort()).toEqual([400, 400, 429])
    expect((await uploadRaw(ada, await picture(10, 10))).status).toBe(201)
  })

  it('answers 201 with a media object that is ready', async () => {
    const answer = await uploadRaw(ada, await picture(1200, 900))
    expect(answer.status).toBe(201)
    expect(answer.headers.get('location')).toBe(`/v1/media/${answer.body.id}`)
    expect(answer.token).not.toBeNull()
    expect(answer.body).toMatchObject({ kind: 'image', status: 'ready', width: 1200, height: 900, duration: null })
    expect(answer.body.blurhash).toMatch(/^.{20,}$/)
    expect(answer.body.renditions.map(({ name }: { name: string }) => name)).toEqual([
      'thumbnail',
      'small',
      'medium',
      'large',
      'full',
    ])
    const again = await ada.get(`/media/${answer.body.id}`)
    expect(again.body).toEqual(answer.body)
    expect(again.headers.get('etag')).toBe(answer.headers.get('etag'))
  })

  it('is upright once, with sizes after orientation', async () => {
    const bytes = await sharp({ create: { width: 60, height: 40, channels: 3, background: '#369' } })
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer()
    const { body } = await uploadRaw(ada, bytes)
    expect(body).toMatchObject({ width: 40, height: 60 })
    const shown = await app.get(urlOf(body, 'full'))
    const { width, height, orientation, exif } = await sharp(shown.body).metadata()
    expect({ width, height, orientation, exif }).toEqual({ width: 40, height: 60, orientation: undefined, exif: undefined })
  })

  it.each(['jpeg', 'png', 'webp', 'avif', 'gif'] as const)('takes %s, told by content, not by header', async format => {
    const bytes = await sharp({ create: { width: 30, height: 20, channels: 3, background: '#963' } })
      .toFormat(format)
      .toBuffer()
    expect(await uploadRaw(ada, bytes, { 'Content-Type': 'application/octet-stream' })).toMatchObject({
      status: 201,
      body: { width: 30, height: 20 },
    })
  })

  it('takes multipart', async () => {
    const answer = await ada.post('/media', form(['file', blob(await picture())]))
    expect(answer).toMatchObject({ status: 201, body: { width: 64, height: 48 } })
  })

  it.each<[string, () => FormData, string]>([
    ['no file', () => form(), '/file'],
    ['text for a file', () => form(['file', 'hello']), '/file'],
    ['two files', () => form(['file', blob(randomBytes(9))], ['file', blob(randomBytes(9))]), '/file'],
    ['another field', () => form(['file', blob(randomBytes(9))], ['alt', 'text']), '/alt'],
  ])('refuses multipart with %s', async (_, data, path) => {
    const answer = await ada.post('/media', data())
    expect(answer).toMatchObject({ status: 422, body: { code: 'validation_failed', errors: [{ path }] } })
  })

  it('refuses multipart that is none', async () => {
    const headers = { 'Content-Type': 'multipart/form-data; boundary=x' }
    expect(await uploadRaw(ada, Buffer.from('nonsense'), headers)).toMatchObject({ status: 400, body: { code: 'malformed' } })
  })

  it.each<[string, () => Promise<Uint8Array>, number, string]>([
    [
      'SVG',
      async () => Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
      415,
      'unsupported_media_type',
    ],
    ['an MP4', async () => Buffer.from('\0\0\0\x18ftypmp42\0\0\0\0mp42isom', 'latin1'), 415, 'unsupported_media_type'],
    ['HTML behind a JPEG header', async () => Buffer.from('<script>alert(1)</script>'), 415, 'unsupported_media_type'],
    ['noise', async () => randomBytes(2_000), 415, 'unsupported_media_type'],
    [
      'noise that begins as a JPEG',
      async () => Buffer.concat([Buffer.from('ffd8ffe0', 'hex'), randomBytes(2_000)]),
      422,
      'media_unreadable',
    ],
    ['a cut JPEG', async () => (await picture(400, 300)).subarray(0, 900), 422, 'media_unreadable'],
    ['nothing', async () => new Uint8Array(), 422, 'media_unreadable'],
  ])('refuses %s and keeps nothing', async (_, bytes, status, code) => {
    const { store } = app.app
    const [head, files] = [await store.head(), await filesOf(ada)]
    expect(await uploadRaw(ada, await bytes())).toMatchObject({ status, body: { status, code } })
    expect([await eventsBehind(store, head), await filesOf(ada)]).toEqual([[], files])
  })

  it('refuses what is declared too large without reading it', async () => {
    let read = 0
    const stream = new ReadableStream({
      pull(controller) {
        read++
        controller.enqueue(new Uint8Array(1024))
      },
    })
    const request = new Request('http://localhost/v1/media', {
      method: 'POST',
      headers: { Authorization: `Bearer ${ada.session.accessToken}`, 'Content-Length': String(60 * 1024 * 1024) },
      body: stream,
      duplex: 'half',
    })
    expect((await app.app.fetch(request)).status).toBe(413)
    expect(read).toBeLessThan(3)
  })

  it('refuses what turns out too large without reading on', async () => {
    let sent = 0
    const chunk = new Uint8Array(1024 * 1024)
    const stream = new ReadableStream({
      pull(controller) {
        sent++
        controller.enqueue(chunk)
      },
    })
    const request = new Request('http://localhost/v1/media', {
      method: 'POST',
      headers: { Authorization: `Bearer ${ada.session.accessToken}` },
      body: stream,
      duplex: 'half',
    })
    expect((await app.app.fetch(request)).status).toBe(413)
    expect(sent).toBeLessThan(60)
  })

  it('refuses more pixels than it takes', async () => {
    const bytes = await sharp({ create: { width: 16_500, height: 4, channels: 3, background: '#000' } })
      .png()
      .toBuffer()
    expect(await uploadRaw(ada, bytes)).toMatchObject({ status: 413, body: { code: 'payload_too_large' } })
  })

  it('needs somebody signed in', async () => {
    expect((await app.send('POST', '/media', { body: await picture(), headers: { 'Content-Type': 'image/jpeg' } })).status).toBe(
      401,
    )
  })

  it('is the uploader’s alone', async () => {
    const media = await ada.upload()
    expect((await ben.get(`/media/${media.id}`, { after: ada.token })).status).toBe(404)
    expect((await app.get(`/media/${media.id}`)).status).toBe(401)
    expect((await ben.get(`/media?ids=${media.id}`)).body).toEqual({ items: [], nextCursor: null })
    const other = await ada.upload()
    const ids = [other.id, randomUUID(), media.id, other.id]
    expect((await ada.get(`/media?ids=${ids.join(',')}`)).body.items).toEqual([other, media])
  })
})

describe('a repeat with its Idempotency-Key', () => {
  it('answers the same media, also when both come at once', async () => {
    const headers = { 'Idempotency-Key': randomUUID() }
    const bytes = await picture()
    const [one, two] = await Promise.all([uploadRaw(ada, bytes, headers), uploadRaw(ada, bytes, headers)])
    const three = await uploadRaw(ada, bytes, headers)
    expect([one.status, two.status, three.status]).toEqual([201, 201, 201])
    expect(two.body).toEqual(one.body)
    expect(three.body).toEqual(one.body)
    const asForm = await ada.post('/media', form(['file', blob(bytes)]), { headers })
    expect(asForm.body).toEqual(one.body)
  })

  it('with other bytes is refused, and the first picture stays', async () => {
    const headers = { 'Idempotency-Key': randomUUID() }
    const first = await uploadRaw(ada, await picture(), headers)
    const shown = await app.get(urlOf(first.body))
    expect(await uploadRaw(ada, await picture(), headers)).toMatchObject({
      status: 422,
      body: { code: 'idempotency_key_reused' },
    })
    expect((await app.get(urlOf(first.body))).body).toEqual(shown.body)
  })

  it('is another’s own with the same key', async () => {
    const headers = { 'Idempotency-Key': randomUUID() }
    const bytes = await picture()
    const mine = await uploadRaw(ada, bytes, headers)
    const theirs = await uploadRaw(ben, bytes, headers)
    expect(theirs.status).toBe(201)
    expect(theirs.body.id).not.toBe(mine.body.id)
  })
})

/** What a picture's URL answers, as 200 or the reason not to. */
const statusOf = async (url: string): Promise<number> => (await app.get(url)).status

describe('a picture’s URL', () => {
  it('suffices alone and answers the picture', async () => {
    const media = await ada.upload(await picture(400, 300))
    const answer: Answer<Uint8Array> = await app.get(urlOf(media, 'small'))
    expect(answer.status).toBe(200)
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'image/jpeg',
      'content-length': String(answer.body.length),
      'cache-control': 'private, max-age=60',
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'cross-origin',
    })
    expect(await sharp(answer.body).metadata()).toMatchObject({ format: 'jpeg', width: 320, height: 240 })
    const head = await app.send('HEAD', urlOf(media, 'small'))
    expect([head.status, head.headers.get('content-length'), head.body.length]).toEqual([200, String(answer.body.length), 0])
    const headers = { 'If-None-Match': answer.headers.get('etag')! }
    expect((await app.get(urlOf(media, 'small'), { headers })).status).toBe(304)
  })

  it('of a picture in no post is for the uploader alone', async () => {
    const media: Media = await ada.upload()
    const bens: Media = await ben.upload()
    const others = urlOf(bens).replace(bens.id, media.id)
    expect(await statusOf(urlOf(media))).toBe(200)
    expect(await statusOf(others)).toBe(404)
  })

  it('is 404 where anything of it is altered, missing or another’s', async () => {
    const post = await ada.publish()
    const { renditions, id } = post.media[0] as Media
    const url = new URL(renditions[0]!.url)
    const signature = url.searchParams.get('v')!
    const [viewer, made, mac] = signature.split('.') as [string, string, string]
    const last = (text: string): string => text.slice(0, -1) + (text.endsWith('A') ? 'B' : 'A')
    const altered = [
      '',
      'nonsense',
      `${viewer}.${made}`,
      `${viewer}.${made}.${last(mac)}`,
      `${viewer}.${made}.${mac}A`,
      `${viewer}.0${made}.${mac}`,
      `${last(viewer)}.${made}.${mac}`,
      `anyone.${made}.${mac}`,
      `${viewer}.${(Number.parseInt(made, 36) + 1).toString(36)}.${mac}`,
      `${viewer}.${made}.${mac}\0`,
    ]
    for (const v of altered) {
      url.searchParams.set('v', v)
      expect([404, 422], v).toContain(await statusOf(url.href))
    }
    expect(await statusOf(`/media/${id}/thumbnail.jpg`)).toBe(404)
    expect(await statusOf(`/media/${randomUUID()}/thumbnail.jpg?v=${signature}`)).toBe(404)
    expect(await statusOf(`/media/${id}/original.jpg?v=${signature}`)).toBe(404)
    // A small picture has no large rendition.
    expect(await statusOf(`/media/${id}/large.jpg?v=${signature}`)).toBe(404)
    const bens = await ben.publish()
    expect(await statusOf(`/media/${bens.media[0].id}/thumbnail.jpg?v=${signature}`)).toBe(404)
  })

  it('asks the rules of now: private, followers, removed, blocked', async () => {
    const [cy, dee] = [await app.signUp(), await app.signUp()]
    await dee.follow(cy)
    const post = await cy.publish({ audience: 'followers' })
    const seen = (await dee.get(`/posts/${post.id}`, { after: cy.token })).body
    const url = urlOf(seen.media[0])
    expect(await statusOf(url)).toBe(200)
    // The URL is of the one who was shown it, and opens what they may see: not the signed-out visitor's.
    expect((await ben.get(`/posts/${post.id}`)).status).toBe(404)
    expect((await cy.delete(`/me/followers/${dee.id}`)).status).toBe(200)
    expect(await statusOf(url)).toBe(404)

    const open = await cy.publish()
    const visitor = urlOf((await app.get(`/posts/${open.id}`)).body.media[0])
    const dees = urlOf((await dee.get(`/posts/${open.id}`)).body.media[0])
    expect([await statusOf(visitor), await statusOf(dees)]).toEqual([200, 200])
    expect((await cy.put(`/accounts/${dee.id}/block`)).status).toBe(200)
    expect([await statusOf(visitor), await statusOf(dees)]).toEqual([200, 404])
    expect((await cy.put('/me/account-type', { type: 'private' })).status).toBe(200)
    expect(await statusOf(visitor)).toBe(404)
    expect(await statusOf(urlOf(open.media[0]))).toBe(200)
  })

  it('ends with the post', async () => {
    const post = await ada.publish()
    const url = urlOf(post.media[0])
    expect(await statusOf(url)).toBe(200)
    expect((await ada.delete(`/posts/${post.id}`)).status).toBe(200)
    expect(await statusOf(url)).toBe(404)
  })

  it('ends with the viewer', async () => {
    const gone = await app.signUp()
    const post = await ada.publish()
    const url = urlOf((await gone.get(`/posts/${post.id}`, { after: ada.token })).body.media[0])
    expect(await statusOf(url)).toBe(200)
    expect((await gone.post('/me/erasure', { password: gone.password })).status).toBe(202)
    expect(await statusOf(url)).toBe(404)
  })
})

describe('time', () => {
  let other: TestApp
  let clock: TestClock
  beforeAll(async () => {
    clock = new TestClock()
    other = await testApp({ clock })
  })
  afterAll(() => other.stop())
  const minute = 60_000

  /** Moves the clock, and signs in again, for a session lives less long. */
  async function later(minutes: number, person: Person): Promise<void> {
    clock.advance(minutes * minute)
    person.session = (await other.post('/sessions', { login: person.username, password: person.password })).body.session
  }

  it('a URL stays the same within its half hour and ends within the next', async () => {
    const cy = await other.signUp()
    const media = await cy.upload()
    const again = async (): Promise<Media> => (await cy.get(`/media/${media.id}`)).body
    await later(31 - ((clock.now() / minute) % 30), cy)
    const url = urlOf(await again())
    await later(28, cy)
    expect(urlOf(await again())).toBe(url)
    await later(5, cy)
    expect(urlOf(await again())).not.toBe(url)
    expect((await other.get(url)).status).toBe(200)
    await later(27, cy)
    expect((await other.get(url)).status).toBe(404)
  })

  it('a picture in no post is gone after a day, also one given to a post that never came; one in a post stays', async () => {
    const cy = await other.signUp()
    const [unused, stuck] = [await cy.upload(), await cy.upload()]
    const crashed = { id: cy.id, sessionId: null, correlationId: 'crashed' }
    await attachMedia(other.app.commands, crashed, stuck.id, { kind: 'post', postId: randomUUID() })
    const post = await cy.publish()
    await other.app.commands.settled(await other.app.store.head(), [timersModel([])])
    await later(23 * 60, cy)
    await other.app.timers.tick()
    expect((await cy.get(`/media/${unused.id}`)).status).toBe(200)
    await later(2 * 60, cy)
    // The first may join one that looked before the clock was moved.
    for (let n = 0; n < 2; n++) await other.app.timers.tick()
    const late = await cy.post('/posts', { media: [{ id: unused.id }] })
    expect(late).toMatchObject({ status: 422, body: { code: 'media_not_found', errors: [{ path: '/media/0/id' }] } })
    expect((await cy.post('/posts', { media: [{ id: stuck.id }] })).body.code).toBe('media_not_found')
    expect((await cy.get(`/media/${post.media[0].id}`)).status).toBe(200)
    await expect
      .poll(async () => {
        const folder = mediaFolder(cy.id, unused.id)
        return Array.fromAsync(other.app.commands.storage.list(folder))
      })
      .toEqual([])
    expect(await Array.fromAsync(other.app.commands.storage.list(mediaFolder(cy.id, post.media[0].id)))).not.toEqual([])
  })
})

describe('an avatar', () => {
  it('is public, and changes with the picture', async () => {
    const cy = await app.signUp()
    const [first, second] = [await cy.upload(), await cy.upload()]
    expect((await cy.put('/me/avatar', { mediaId: first.id })).status).toBe(200)
    const { avatarUrl } = (await app.get(`/accounts/${cy.id}`, { after: cy.token })).body
    const shown = await app.get(avatarUrl)
    expect(shown.status).toBe(200)
    expect(shown.headers.get('content-type')).toBe('image/jpeg')
    expect(shown.headers.get('cache-control')).toBe('public, max-age=60')
    expect((await cy.put('/me/avatar', { mediaId: second.id })).status).toBe(200)
    const { avatarUrl: next } = (await app.get(`/accounts/${cy.id}`, { after: cy.token })).body
    expect(next).not.toBe(avatarUrl)
    expect([await statusOf(avatarUrl), await statusOf(next)]).toEqual([404, 200])
    await expect.poll(() => Array.fromAsync(app.app.commands.storage.list(mediaFolder(cy.id, first.id)))).toEqual([])
  })

  it('is only what an account shows', async () => {
    const media = await ada.upload()
    expect(await statusOf(`/avatars/${media.id}/thumbnail.jpg`)).toBe(404)
    expect(await statusOf(`/avatars/${randomUUID()}/thumbnail.jpg`)).toBe(404)
  })
})

describe('the sweep', () => {
  it('removes files that no upload tells of, at the second look', async () => {
    const { storage } = app.app.commands
    const kept = await ada.upload()
    const orphan = `${mediaFolder(ada.id, randomUUID())}full.jpg`
    await storage.put(orphan, await picture(), 'image/jpeg')
    const sweep = mediaSweep(app.app.commands)
    const actor = { id: null, sessionId: null, correlationId: 'sweep' }
    expect(await sweep(actor)).toBe(0)
    expect(await Array.fromAsync(storage.list(mediaFolder(ada.id)))).toContain(orphan)
    expect(await sweep(actor)).toBe(1)
    expect(await storage.get(orphan)).toBeNull()
    expect(await statusOf(urlOf(kept))).toBe(200)
  })
})
