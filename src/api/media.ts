import { createHash } from 'node:crypto'
import * as v from 'valibot'
import { uploadLimit, uploadMedia } from '../commands/media.ts'
import { carry, json, send } from '../kernel/http/answer.ts'
import { describe } from '../kernel/http/describe.ts'
import { routes } from '../kernel/http/env.ts'
import { idempotencyKey, withEtag } from '../kernel/http/headers.ts'
import { readBytes } from '../kernel/http/json.ts'
import { validationFailed } from '../kernel/http/parse.ts'
import { limited } from '../kernel/http/rate-limit.ts'
import { example, model } from '../kernel/http/schema.ts'
import { params, query } from '../kernel/http/validate.ts'
import { notFound, Problem, unavailable } from '../kernel/problem.ts'
import { mediaModels, mediaView, mediaViews } from '../reading/media.ts'
import { mustBeAvatar, mustSeePicture, pictureModels } from '../reading/pictures.ts'
import { type AppEnv, type Ctx, present } from './env.ts'
import { creation, fresh, signedIn } from './middleware.ts'
import { Id, ids } from './schemas.ts'

const names = ['thumbnail', 'small', 'medium', 'large', 'full'] as const

/** The members of a media object, for what adds to them. */
export const mediaEntries = {
  id: Id,
  kind: v.picklist(['image']),
  status: v.picklist(['ready']),
  width: example(v.pipe(v.number(), v.description('In pixels, after orientation')), 4032),
  height: example(v.number(), 3024),
  duration: v.null(),
  renditions: v.pipe(
    v.array(
      v.object({
        name: v.picklist(names),
        url: example(v.string(), 'https://photos.example/v1/media/018f6e5a-7c1d-4b7e-9a51-3f0c2d9b8e14/thumbnail.jpg?v=…'),
        width: example(v.number(), 150),
        height: example(v.number(), 150),
      }),
    ),
    v.description(
      'JPEG. `thumbnail` (a square) and `full` are always there. A URL serves alone, for 30 to 60 minutes; read the object again for new ones',
    ),
  ),
  blurhash: example(v.nullable(v.string()), 'LEHV6nWB2yk8pyo0adR*.7kCMdnj'),
}
const Media = model('Media', v.object(mediaEntries))

const tag = 'Media'
const file = params({ id: Id, file: v.picklist(names.map(name => `${name}.jpg` as const)) })

const pictureAnswers = {
  200: { type: 'image/jpeg', description: 'The picture' },
  304: null,
}

/** Uploads, and the pictures themselves. */
export const mediaRoutes = routes<AppEnv>()
  .post(
    '/media',
    describe('Upload an image', {
      tag,
      description:
        'JPEG, PNG, WebP, AVIF, GIF (its first frame) or HEIC, told by content, up to 50 MiB. Orientation is applied, metadata is removed. Media in no post is gone after 24 hours.',
      accepts: { 'multipart/form-data': 'The image as `file`, alone', 'image/*': 'The image itself' },
      responses: { 201: { schema: Media, headers: { Location: 'Its path', ETag: 'Its version' } } },
      problems: [
        'malformed',
        'payload_too_large',
        'unsupported_media_type',
        'media_unreadable',
        'validation_failed',
        'idempotency_key_reused',
        'unavailable',
      ],
    }),
    fresh(...mediaModels),
    signedIn,
    limited('upload'),
    async c => {
      const { id, position } = await withUpload(c, async bytes => {
        const made = creation<'media'>(
          c,
          idempotencyKey(c) === undefined ? null : createHash('sha256').update(bytes).digest('hex'),
        )
        return { id: made.id, position: await uploadMedia(c.get('commands'), c.get('actor'), made, bytes) }
      })
      await present(c, position, mediaModels)
      const { view, revision } = await mediaView(c.get('reading'), c.get('actor').id, id)
      carry(c, { Location: `/v1/media/${id}` })
      return withEtag(c, view, revision, 201)
    },
  )
  .get(
    '/media',
    describe('Several of your uploads by their ids', {
      tag,
      description: 'In the order of the ids; others’ and unknown ones are left out.',
      responses: { 200: v.object({ items: v.array(Media), nextCursor: v.null() }) },
    }),
    fresh(...mediaModels),
    signedIn,
    query({ ids }),
    async c => {
      const found = await mediaViews(c.get('reading'), c.get('actor').id, c.get('query').ids)
      const items = [...new Set(c.get('query').ids)].flatMap(id => found.get(id)?.view ?? [])
      return json(c, { items, nextCursor: null })
    },
  )
  .get(
    '/media/:id',
    describe('One of your uploads', { tag, responses: { 200: Media }, etag: true }),
    fresh(...mediaModels),
    signedIn,
    params({ id: Id }),
    async c => {
      const { view, revision } = await mediaView(c.get('reading'), c.get('actor').id, c.get('params').id)
      return withEtag(c, view, revision)
    },
  )
  .get(
    '/media/:id/:file',
    describe('A picture', {
      tag,
      description:
        'By a URL of a rendition, without an access token: its signature names the viewer, for whom the rules are asked again. 404 for every reason not to show it.',
      auth: 'none',
      responses: {
        ...pictureAnswers,
        302: { description: 'The store has the picture', headers: { Location: 'Where, for a minute, to GET alone' } },
      },
    }),
    file,
    query({
      v: v.optional(v.pipe(v.string(), v.description('The signature, as the rendition’s URL has it'), v.examples(['…'])), ''),
    }),
    fresh(...pictureModels),
    async c => {
      const rendition = c.get('params').file.replace('.jpg', '')
      const key = await mustSeePicture(c.get('reading'), c.get('params').id, rendition, c.get('query').v)
      return showPicture(c, key)
    },
  )
  .get(
    '/avatars/:id/:file',
    describe('The picture that an account shows to everybody', { tag, auth: 'none', responses: pictureAnswers }),
    file,
    fresh(...pictureModels),
    async c => {
      const key = await mustBeAvatar(c.get('reading'), c.get('params').id, c.get('params').file.replace('.jpg', ''))
      return sendPicture(c, key, 'public')
    },
  )

/** Seconds for which a store shows a picture by the URL that a client is sent to. */
const openFor = 60
/** Less than that, so that nobody follows at the end to what has closed. */
const redirectKeptFor = 30

/** Sends the client to the store for a picture, where the store can show it itself. */
async function showPicture(c: Ctx, key: string): Promise<Response> {
  const { storage } = c.get('commands')
  if (storage.presign === undefined) return sendPicture(c, key, 'private')
  carry(c, {
    'Cross-Origin-Resource-Policy': 'cross-origin',
    // No ETag: who hears that nothing changed would follow the URL of before.
    'Cache-Control': `private, max-age=${redirectKeptFor}`,
    'Referrer-Policy': 'no-referrer',
  })
  return send(c, null, 302, { Location: await storage.presign(key, openFor) })
}

/** Streams a stored picture, which never changes under its key. */
async function sendPicture(c: Ctx, key: string, whose: 'private' | 'public'): Promise<Response> {
  const etag = `"${createHash('sha256').update(key).digest('base64url').slice(0, 22)}"`
  // A page of another origin shows it.
  carry(c, { 'Cache-Control': `${whose}, max-age=60`, ETag: etag, 'Cross-Origin-Resource-Policy': 'cross-origin' })
  if (c.req.header('if-none-match')?.includes(etag)) return send(c, null, 304)
  const found = await c.get('commands').storage.get(key)
  if (found === null) throw notFound('picture')
  const about = { 'Content-Type': found.contentType, 'Content-Length': String(found.size) }
  if (c.req.method !== 'HEAD') return send(c, found.stream, 200, about)
  await found.stream.cancel()
  return send(c, null, 200, about)
}

/** What the fields around a multipart file may take beside it. */
const multipartSlack = 64 * 1024

/** Bytes of uploads that are in memory at the same time, at most; of one account a quarter, for else who lets some hang stops everybody's. */
const mostHeld = 512 * 1024 * 1024
const mostHeldByOne = mostHeld / 4
let held = 0
const heldBy = new Map<string, number>()

/** Counts bytes, negative ones when they are let go. @throws Problem rate_limited, unavailable where there is no room for them */
function hold(accountId: string, bytes: number): void {
  const own = (heldBy.get(accountId) ?? 0) + bytes
  if (bytes > 0 && own > mostHeldByOne)
    throw new Problem('rate_limited', 'You are uploading too much at once: wait until some of it is done.', {
      headers: { 'Retry-After': '5' },
    })
  if (bytes > 0 && held + bytes > mostHeld) throw unavailable('Too many pictures are being uploaded.', 5)
  held += bytes
  if (own === 0) heldBy.delete(accountId)
  else heldBy.set(accountId, own)
}

/** Reads the upload and does something with its bytes, as one of so many at the same time. @throws Problem rate_limited, unavailable, and those of reading */
async function withUpload<T>(c: Ctx, use: (bytes: Uint8Array) => Promise<T>): Promise<T> {
  const multipart = /^multipart\/form-data\b/i.test(c.req.header('content-type') ?? '')
  const limit = uploadLimit + (multipart ? multipartSlack : 0)
  const { id } = c.get('actor')
  let size = 0
  try {
    const sent = await readBytes(c.req.raw, limit, bytes => {
      hold(id, bytes)
      size += bytes
    })
    const bytes = multipart ? await fileOf(sent, c.req.header('content-type') ?? '') : sent
    if (bytes.length === 0) throw new Problem('media_unreadable', 'The file is empty.')
    if (bytes.length > uploadLimit)
      throw new Problem('payload_too_large', `The file must not be larger than ${uploadLimit} bytes.`)
    return await use(bytes)
  } finally {
    hold(id, -size)
  }
}

/** The one part of a multipart body. @throws Problem malformed, validation_failed */
async function fileOf(body: Uint8Array, contentType: string): Promise<Uint8Array> {
  let form: FormData
  try {
    form = await new Response(Buffer.from(body.buffer, body.byteOffset, body.length), {
      headers: { 'Content-Type': contentType },
    }).formData()
  } catch (cause) {
    throw new Problem('malformed', 'The body is not multipart/form-data.', { cause })
  }
  const strange = [...form.keys()].find(name => name !== 'file')
  if (strange !== undefined) throw validationFailed([{ path: `/${strange.slice(0, 100)}`, message: 'is not known here' }])
  const [first, ...more] = form.getAll('file')
  if (more.length > 0) throw validationFailed([{ path: '/file', message: 'must not be repeated' }])
  if (first === undefined || typeof first === 'string')
    throw validationFailed([{ path: '/file', message: 'is required, as a file' }])
  return new Uint8Array(await first.arrayBuffer())
}
