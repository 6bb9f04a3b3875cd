import { brandsOf } from './heif.ts'

export type ImageFormat = 'jpeg' | 'png' | 'webp' | 'gif' | 'avif' | 'heic'

/** What the first bytes are, by format; `.` is any byte. */
const magic: readonly (readonly [ImageFormat, string])[] = [
  ['jpeg', '\xff\xd8\xff'],
  ['png', '\x89PNG\r\n\x1a\n'],
  ['gif', 'GIF87a'],
  ['gif', 'GIF89a'],
  ['webp', 'RIFF....WEBP'],
]

const brands: readonly (readonly [ImageFormat, RegExp])[] = [
  ['avif', /^avi[fs]$/],
  ['heic', /^he(i[cxms]|v[cxms])$/],
]

/** What the bytes are by their first bytes, of what is accepted; `null` for anything else. */
export function sniff(bytes: Uint8Array): ImageFormat | null {
  const head = Buffer.from(bytes.subarray(0, 12)).toString('latin1')
  for (const [format, first] of magic) {
    if ([...first].every((char, index) => char === '.' || char === head[index])) return format
  }
  for (const brand of brandsOf(bytes)) for (const [format, pattern] of brands) if (pattern.test(brand)) return format
  return null
}
