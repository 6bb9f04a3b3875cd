import type { RenditionSize } from '../domain/media/media.ts'
import type { AccountId, MediaId } from '../kernel/ids.ts'
import { notFound } from '../kernel/problem.ts'
import { pairMac, type Secrets, sameBytes } from '../kernel/secrets.ts'
import { mediaModel } from '../projections/media/project.ts'
import { avatarOwner, placeOf } from '../projections/media/queries.ts'
import type { Reading, ViewerId } from './context.ts'
import { mustSeePost, ruleModels } from './rules.ts'

/** What pictures are shown by. */
export const pictureModels = [mediaModel, ...ruleModels] as const

/** One size of a picture as it is answered; `url` suffices alone. Sizes in pixels. */
export type RenditionView = { name: string; url: string; width: number; height: number }

/** Makes the URLs of one answer. */
export type Pictures = {
  url(authorId: AccountId, mediaId: MediaId, rendition: string): string
  renditions(authorId: AccountId, media: { id: MediaId; renditions: readonly RenditionSize[] }): RenditionView[]
}

/** A URL is made in one half hour (ms) and serves to the end of the next: the same for 30 minutes, gone within 60. */
const halfHour = 1_800_000
/** 20 characters without a spare bit, so that no two texts are the same signature. */
const macBytes = 15

/**
 * The URLs of the pictures that one viewer gets in one answer. A signature is of viewer, half hour and author, so it is made once an author, of all of them
 * at once; what it opens is asked when the picture is fetched.
 * @param authorIds whose pictures these are, each once or more often
 */
export function picturesFor(
  { secrets, clock, publicUrl }: Reading,
  viewerId: ViewerId,
  authorIds: Iterable<AccountId>,
): Pictures {
  const made = Math.floor(clock.now() / halfHour)
  const signed = `${viewerId === null ? anyone : packed(viewerId)}.${made.toString(36)}`
  const authors = [...new Set(authorIds)]
  const macs = signatures(secrets.key('pictures'), made, viewerId, authors)
  const byAuthor = new Map(authors.map((id, at) => [id, `${signed}.${macs[at]!.toString('base64url')}`]))
  const url = (authorId: AccountId, mediaId: MediaId, rendition: string): string => {
    const signature = byAuthor.get(authorId)
    if (signature === undefined) throw new Error('a picture of an author who was not named')
    return `${publicUrl}/v1/media/${mediaId}/${rendition}.jpg?v=${signature}`
  }
  return {
    url,
    renditions: (authorId, { id, renditions }) =>
      renditions.map(({ name, width, height }) => ({ name, url: url(authorId, id, name), width, height })),
  }
}

/** Where an account's picture is: public, unsigned, another one for another picture; gone with the account. */
export const avatarUrl = ({ publicUrl }: Reading, avatarMediaId: MediaId | null): string | null =>
  avatarMediaId === null ? null : `${publicUrl}/v1/avatars/${avatarMediaId}/thumbnail.jpg`

/** The storage's folder of all pictures of an owner, of one of them, and the key of one rendition. */
export const mediaFolder = (ownerId: AccountId, mediaId?: MediaId): string =>
  mediaId === undefined ? `media/${ownerId}/` : `media/${ownerId}/${mediaId}/`
export const renditionKey = (ownerId: AccountId, mediaId: MediaId, rendition: string): string =>
  `${mediaFolder(ownerId, mediaId)}${rendition}.jpg`

/**
 * The storage key of a picture for the viewer whom its URL's signature names, under the rules of now.
 * @param signature the URL's `v`
 * @throws notFound for every reason not to show it
 */
export async function mustSeePicture(reading: Reading, mediaId: MediaId, rendition: string, signature: string): Promise<string> {
  const [, viewer, madeIn, given] = /^([\w-]{22}|anyone)\.([0-9a-z]{1,8})\.([\w-]{20})$/.exec(signature) ?? []
  if (viewer === undefined || madeIn === undefined || given === undefined) throw notFound('picture')
  const made = Number.parseInt(madeIn, 36)
  const viewerId = viewer === anyone ? null : unpacked(viewer)
  // No two texts are the same signature.
  if (madeIn !== made.toString(36) || (viewerId !== null && packed(viewerId) !== viewer)) throw notFound('picture')
  const age = Math.floor(reading.clock.now() / halfHour) - made
  // -1: from a node whose clock is ahead.
  if (age < -1 || age > 1) throw notFound('picture')
  const [place] = await placeOf(reading.db, { mediaId, viewerId })
  if (place === undefined || !isSignature(reading.secrets, made, viewerId, place.owner, given)) throw notFound('picture')
  if (viewerId !== null && !place.viewer) throw notFound('picture')
  if (place.post !== null && place.shown) await mustSeePost(reading, viewerId, place.post)
  else if (place.post !== null || viewerId !== place.owner) throw notFound('picture')
  return renditionKey(place.owner, mediaId, rendition)
}

/** The storage key of the picture that an account shows to everybody now. @throws notFound */
export async function mustBeAvatar(reading: Reading, mediaId: MediaId, rendition: string): Promise<string> {
  const [avatar] = await avatarOwner(reading.db, { mediaId })
  if (avatar === undefined) throw notFound('picture')
  return renditionKey(avatar.owner, mediaId, rendition)
}

/** Who is not signed in: in a signature, and as what is signed. No account has the id of zeros. */
const anyone = 'anyone'
const nobody = Buffer.alloc(16)
const bytesOf = (id: AccountId): Buffer => Buffer.from(id.replaceAll('-', ''), 'hex')
const packed = (id: AccountId): string => bytesOf(id).toString('base64url')
const unpacked = (text: string): AccountId =>
  Buffer.from(text, 'base64url')
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

/** Of authors, for one viewer in one half hour. */
function signatures(key: Buffer, made: number, viewerId: ViewerId, authorIds: readonly AccountId[]): Buffer[] {
  if (authorIds.length === 0) return []
  const macs = pairMac(key, made)(viewerId === null ? nobody : bytesOf(viewerId))(authorIds.map(bytesOf))
  return macs.map(mac => mac.subarray(0, macBytes))
}

const isSignature = (secrets: Secrets, made: number, viewerId: ViewerId, authorId: AccountId, given: string): boolean => {
  const bytes = Buffer.from(given, 'base64url')
  return secrets.accepted('pictures').some(key => sameBytes(signatures(key, made, viewerId, [authorId])[0]!, bytes))
}
