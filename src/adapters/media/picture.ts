import { encode } from 'blurhash'
import sharp, { type Sharp } from 'sharp'
import type { Picture, Rendition, RenditionName } from '../../kernel/ports/imaging.ts'
import { Problem } from '../../kernel/problem.ts'
import { readHeif } from './heif.ts'
import type { ImageFormat } from './sniff.ts'
import { tiffOf } from './tiff.ts'

const longestSide = 16_384
const mostPixels = 100_000_000
const fullSide = 2048
const thumbnailSide = 150
const widths = { large: 1080, medium: 640, small: 320 } as const satisfies Partial<Record<RenditionName, number>>

/** Raw 8-bit sRGB without alpha. */
type Pixels = { data: Buffer; width: number; height: number }

sharp.concurrency(1) // the pool has one process a core
sharp.cache(false)
// Only the decoders of what is accepted, whatever the content makes libvips believe; TIFF is what HEIC is handed over as.
const loaders = ['JpegBuffer', 'PngBuffer', 'WebpBuffer', 'NsgifBuffer', 'HeifBuffer', 'TiffBuffer']
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({ operation: loaders.map(loader => `VipsForeignLoad${loader}`) })

/**
 * Makes the picture of an image whose format is known. Changes `bytes`. Rejects with the problems `media_unreadable` and
 * `payload_too_large`.
 */
export async function makePicture(bytes: Uint8Array, format: ImageFormat): Promise<Picture> {
  const source = format === 'heic' ? await decodeHeic(bytes) : bytes
  if (format === 'avif') requireSize(readHeif(bytes))
  const { width, height } = await readable(open(source).metadata()).then(found => found.autoOrient)
  requireSize({ width, height })
  const full = await decodeFull(source, width, height)
  const renditions = [await encodeRendition('full', fromPixels(full))]
  for (const name of ['large', 'medium', 'small'] as const) {
    if (full.width > widths[name]) renditions.push(await encodeRendition(name, fromPixels(full).resize(widths[name])))
  }
  const side = Math.min(thumbnailSide, full.width, full.height)
  renditions.push(
    await encodeRendition('thumbnail', fromPixels(full).resize(side, side, { fit: 'cover', position: 'attention' })),
  )
  return { width, height, blurhash: await blurhashOf(full), renditions: renditions.reverse() }
}

/** The pixels of a HEIC, upright, with its colour profile. EXIF stays behind: its orientation has been applied. */
async function decodeHeic(bytes: Uint8Array): Promise<Uint8Array> {
  const { width, height, icc } = readHeif(bytes)
  requireSize({ width, height })
  bytes.set(Buffer.from('heic'), 8) // the only part of the brands that heic-decode reads, and it does not know all of them
  const { default: decode } = await import('heic-decode') // 2 MB of WebAssembly that most pictures do not need
  const items = await readable(decode.all({ buffer: bytes }))
  try {
    const item = items[0]!
    requireSize(item)
    const pixels = await readable(item.decode())
    return tiffOf(new Uint8Array(pixels.data.buffer), pixels.width, pixels.height, icc)
  } finally {
    items.dispose()
  }
}

/** Decodes once, at the size of `full`: libvips skips what it can of a JPEG or WebP that is larger. */
async function decodeFull(source: Uint8Array, width: number, height: number): Promise<Pixels> {
  const scale = Math.min(1, fullSide / Math.max(width, height))
  const side = (length: number): number => Math.max(1, Math.round(length * scale))
  const { data, info } = await readable(
    open(source)
      .autoOrient()
      .resize(side(width), side(height), { fit: 'fill' })
      .flatten({ background: '#fff' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true }),
  )
  return { data, width: info.width, height: info.height }
}

/** `error` takes damaged metadata around a picture that decodes, and refuses a picture that ends early. The size is ours to check. */
const open = (source: Uint8Array): Sharp => sharp(source, { failOn: 'error', limitInputPixels: false })

const fromPixels = ({ data, width, height }: Pixels): Sharp => sharp(data, { raw: { width, height, channels: 3 } })

async function encodeRendition(name: RenditionName, pixels: Sharp): Promise<Rendition> {
  const { data, info } = await pixels.jpeg({ quality: 80, mozjpeg: true }).toBuffer({ resolveWithObject: true })
  return { name, contentType: 'image/jpeg', width: info.width, height: info.height, bytes: data }
}

async function blurhashOf(full: Pixels): Promise<string> {
  const { data, info } = await fromPixels(full)
    .resize(32, 32, { fit: 'inside' })
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
  const [across, down] = info.width >= info.height ? [4, 3] : [3, 4]
  return encode(new Uint8ClampedArray(data), info.width, info.height, across, down)
}

function requireSize({ width, height }: { width: number; height: number }): void {
  if (width < 1 || height < 1) throw new Problem('media_unreadable', 'The picture is empty.')
  if (width > longestSide || height > longestSide || width * height > mostPixels) {
    throw new Problem(
      'payload_too_large',
      `The picture is ${width} x ${height} pixels; at most ${longestSide} a side and ${mostPixels / 1e6} million are accepted.`,
    )
  }
}

/** What a decoder rejects is the picture's fault, not ours. */
async function readable<T>(decoding: Promise<T>): Promise<T> {
  try {
    return await decoding
  } catch (error) {
    throw new Problem('media_unreadable', 'The picture is damaged and cannot be decoded.', { cause: error })
  }
}
