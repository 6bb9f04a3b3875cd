import type { RenditionSize } from '../domain/media/media.ts'
import type { AccountId, MediaId } from '../kernel/ids.ts'
import { notFound } from '../kernel/problem.ts'
import { mediaModel } from '../projections/media/project.ts'
import { mediaAmong, mediaOf } from '../projections/media/queries.ts'
import type { Reading } from './context.ts'
import { type Pictures, picturesFor, type RenditionView } from './pictures.ts'

/** What uploads are answered from. */
export const mediaModels = [mediaModel] as const

/** An upload as it is answered. Sizes in pixels, after orientation; `duration` is null, for it is no video. */
export type MediaView = {
  readonly id: MediaId
  readonly kind: 'image'
  readonly status: 'ready'
  readonly width: number
  readonly height: number
  readonly duration: null
  readonly renditions: readonly RenditionView[]
  readonly blurhash: string | null
}

type Facts = { id: MediaId; width: number; height: number; blurhash: string | null; renditions: readonly RenditionSize[] }

/** A picture with its URLs. */
export const mediaViewOf = (pictures: Pictures, ownerId: AccountId, media: Facts): MediaView => ({
  id: media.id,
  kind: 'image',
  status: 'ready',
  width: media.width,
  height: media.height,
  duration: null,
  renditions: pictures.renditions(ownerId, media),
  blurhash: media.blurhash,
})

/** One's own uploads by id, with the revision of each; those of others and unknown ones are absent. */
export async function mediaViews(
  reading: Reading,
  ownerId: AccountId,
  ids: readonly MediaId[],
): Promise<Map<MediaId, { view: MediaView; revision: number }>> {
  const pictures = picturesFor(reading, ownerId, [ownerId])
  const found = await mediaOf(reading.db, { ids, ownerId })
  return new Map(found.map(row => [row.id, { view: mediaViewOf(pictures, ownerId, row), revision: row.revision }]))
}

/** One's own upload. @throws notFound for another's too */
export async function mediaView(
  reading: Reading,
  ownerId: AccountId,
  id: MediaId,
): Promise<{ view: MediaView; revision: number }> {
  const found = (await mediaViews(reading, ownerId, [id])).get(id)
  if (found === undefined) throw notFound('media')
  return found
}

/** Those of the media that the model has no row of: unknown, discarded, erased, or not there yet. */
export async function mediaWithout({ db }: Reading, ids: readonly MediaId[]): Promise<MediaId[]> {
  const known = new Set((await mediaAmong(db, { ids })).map(({ id }) => id))
  return ids.filter(id => !known.has(id))
}
