import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mediaFolder } from '../../src/reading/pictures.ts'
import { type Person, type TestApp, testApp } from '../support/app.ts'
import { ownName } from '../support/engines.ts'
import { eventsBehind } from '../support/log.ts'
import { type S3, startS3 } from '../support/s3.ts'

type Media = { id: string; renditions: { name: string; url: string }[] }

const namespace = `${ownName()}_`
let s3: S3
let app: TestApp
let ada: Person
let ben: Person
beforeAll(async () => {
  s3 = await startS3()
  app = await testApp({ config: { s3Url: s3.url, namespace } })
  ada = await app.signUp()
  ben = await app.signUp()
})
afterAll(async () => {
  await app?.stop()
  await s3?.end()
})

const keysOf = (person: Person): Promise<string[]> => Array.fromAsync(app.app.commands.storage.list(mediaFolder(person.id)))
const urlOf = ({ renditions }: Media, name = 'thumbnail'): string => renditions.find(rendition => rendition.name === name)!.url

describe('a picture in S3', () => {
  it('is shown by a redirect to where it opens for a minute, and nothing of the redirect outlives that', async () => {
    const media = await ada.upload()
    const answer = await app.get(urlOf(media, 'full'))
    expect(answer.status).toBe(302)
    expect(answer.headers.get('cache-control')).toBe('private, max-age=30')
    expect(answer.headers.get('referrer-policy')).toBe('no-referrer')
    expect(answer.headers.get('cross-origin-resource-policy')).toBe('cross-origin')
    expect(answer.headers.get('etag')).toBeNull()
    const there = new URL(answer.headers.get('location')!)
    expect(there.pathname).toBe(`/pictures/${namespace}${mediaFolder(ada.id, media.id)}full.jpg`)
    expect(there.searchParams.get('X-Amz-Expires')).toBe('60')
    const found = await fetch(there)
    expect(found.headers.get('content-type')).toBe('image/jpeg')
    expect(await sharp(await found.arrayBuffer()).metadata()).toMatchObject({ width: 64, height: 48 })
  })

  it('redirects a HEAD too, and who has heard of it before', async () => {
    const url = urlOf(await ada.upload())
    expect((await app.send('HEAD', url)).status).toBe(302)
    expect((await app.get(url, { headers: { 'If-None-Match': '*' } })).status).toBe(302)
  })

  it('obeys the rules of now, before anything is signed', async () => {
    await ben.follow(ada)
    const post = await ada.publish()
    const { media } = (await ben.get(`/posts/${post.id}`, { after: ada.token })).body
    const url = urlOf(media[0])
    expect((await app.get(url)).status).toBe(302)
    expect((await app.get(url.replace(/.$/, last => (last === 'A' ? 'B' : 'A')))).status).toBe(404)
    expect((await ada.put(`/accounts/${ben.id}/block`)).status).toBe(200)
    const hidden = await app.get(url)
    expect(hidden.status).toBe(404)
    expect(hidden.headers.get('location')).toBeNull()
  })

  it('goes with its post', async () => {
    const cy = await app.signUp()
    const post = await cy.publish()
    expect(await keysOf(cy)).not.toEqual([])
    expect((await cy.delete(`/posts/${post.id}`)).status).toBe(200)
    await expect.poll(() => keysOf(cy), { timeout: 20_000 }).toEqual([])
  })
})

it('an avatar is streamed: public, small, and caches may keep it', async () => {
  const cy = await app.signUp()
  const { id } = await cy.upload()
  expect((await cy.put('/me/avatar', { mediaId: id })).status).toBe(200)
  const { avatarUrl } = (await app.get(`/accounts/${cy.id}`, { after: cy.token })).body
  const shown = await app.get(avatarUrl)
  expect(shown.status).toBe(200)
  expect(shown.headers.get('cache-control')).toBe('public, max-age=60')
  expect(await sharp(shown.body).metadata()).toMatchObject({ format: 'jpeg', width: 48 })
  expect((await app.get(avatarUrl, { headers: { 'If-None-Match': shown.headers.get('etag')! } })).status).toBe(304)
})

it('while the store is away uploads are 503 and leave nothing, and the rest goes on', async () => {
  const own = await startS3()
  const other = await testApp({ config: { s3Url: own.url } })
  const dora = await other.signUp()
  const head = await other.app.store.head()
  await own.end()
  const { data } = await sharp({ create: { width: 9, height: 9, channels: 3, background: '#369' } })
    .jpeg()
    .toBuffer({ resolveWithObject: true })
  const refused = await dora.post('/media', data, { headers: { 'Content-Type': 'image/jpeg' } })
  expect(refused).toMatchObject({ status: 503, body: { code: 'unavailable' } })
  expect(refused.headers.get('retry-after')).toBe('2')
  expect(await eventsBehind(other.app.store, head)).toEqual([])
  expect((await dora.get('/me')).status).toBe(200)
  await other.stop()
})
