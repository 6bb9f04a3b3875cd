/** Rows a strip: libtiff refuses strips that are too large to hold. */
const rows = 64

/**
 * Wraps raw 8-bit RGBA pixels, unassociated alpha, as an uncompressed TIFF: the one way to hand sharp pixels together with the
 * ICC profile that they are in.
 */
export function tiffOf(pixels: Uint8Array, width: number, height: number, icc: Uint8Array | null): Buffer {
  const strips = Math.ceil(height / rows)
  const stripBytes = width * 4 * rows
  const entries: [tag: number, type: 1 | 3 | 4 | 7, values: readonly number[] | Uint8Array][] = [
    [256, 4, [width]],
    [257, 4, [height]],
    [258, 3, [8, 8, 8, 8]],
    [259, 3, [1]], // compression: none
    [262, 3, [2]], // photometric: RGB
    [273, 4, Array.from({ length: strips }, (_, strip) => strip * stripBytes)], // moved behind the header below
    [277, 3, [4]], // samples a pixel
    [278, 4, [rows]],
    [279, 4, Array.from({ length: strips }, (_, strip) => Math.min(stripBytes, pixels.length - strip * stripBytes))],
    [338, 3, [2]], // the extra sample is unassociated alpha
  ]
  if (icc !== null) entries.push([34675, 7, icc])

  const widths = { 1: 1, 3: 2, 4: 4, 7: 1 } as const
  const directoryEnd = 8 + 2 + entries.length * 12 + 4
  const outside = entries.reduce(
    (sum, [, type, values]) => sum + (values.length * widths[type] > 4 ? values.length * widths[type] + 3 : 0),
    0,
  )
  const head = Buffer.alloc(directoryEnd + outside)
  head.write('II*\0', 0, 'latin1')
  head.writeUInt32LE(8, 4)
  head.writeUInt16LE(entries.length, 8)
  let next = directoryEnd
  entries.forEach(([tag, type, values], index) => {
    const at = 10 + index * 12
    const length = values.length * widths[type]
    head.writeUInt16LE(tag, at)
    head.writeUInt16LE(type, at + 2)
    head.writeUInt32LE(values.length, at + 4)
    let to = at + 8
    if (length > 4) {
      head.writeUInt32LE(next, to)
      to = next
      next += (length + 3) & ~3
    }
    for (const value of values) {
      head.writeUIntLE(tag === 273 ? value + head.length : value, to, widths[type])
      to += widths[type]
    }
  })
  return Buffer.concat([head, pixels])
}
