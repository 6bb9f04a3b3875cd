import { Problem } from '../../kernel/problem.ts'

/** The part of ISO-BMFF (ISO/IEC 14496-12) and HEIF (ISO/IEC 23008-12) that must be known before a decoder sees the file. */

type Box = { type: string; start: number; end: number }

/** The content of a HEIF file, as its header tells it: pixels of its largest item, and the colour profile if it has one. */
export type HeifHeader = { width: number; height: number; icc: Uint8Array | null }

const broken = (detail: string): Problem => new Problem('media_unreadable', `The picture is damaged: ${detail}.`)

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
const textAt = (bytes: Uint8Array, at: number): string => Buffer.from(bytes.subarray(at, at + 4)).toString('latin1')

/** The brands that the file says it is of, the major one first; none where it is not ISO-BMFF. */
export function brandsOf(bytes: Uint8Array): string[] {
  if (bytes.length < 16 || textAt(bytes, 4) !== 'ftyp') return []
  const end = Math.min(viewOf(bytes).getUint32(0), bytes.length, 256)
  const brands = [textAt(bytes, 8)]
  for (let at = 16; at + 4 <= end; at += 4) brands.push(textAt(bytes, at))
  return brands
}

/**
 * Reads the header, checks that nothing is cut off, and hides in place every item but the primary one, because
 * heic-decode takes the first that is not hidden.
 *
 * Throws a `media_unreadable` problem where the file is not whole or makes no sense.
 */
export function readHeif(bytes: Uint8Array): HeifHeader {
  const top = topLevel(bytes)
  const meta = top.find(box => box.type === 'meta')
  if (meta === undefined || !top.some(box => box.type === 'mdat')) throw broken('a part of the file is missing')
  const inMeta = [...boxes(bytes, meta.start + 4, meta.end)]
  const properties = inMeta
    .filter(box => box.type === 'iprp')
    .flatMap(box => [...boxes(bytes, box.start, box.end)])
    .filter(box => box.type === 'ipco')
    .flatMap(box => [...boxes(bytes, box.start, box.end)])
  hideAllButPrimary(bytes, inMeta)
  return { ...largestExtent(bytes, properties), icc: profile(bytes, properties) }
}

/** Walks boxes; each must lie wholly inside. */
function* boxes(bytes: Uint8Array, from: number, to: number): Generator<Box> {
  const view = viewOf(bytes)
  for (let at = from; at < to; ) {
    if (at + 8 > to) throw broken('a box is cut off')
    const type = textAt(bytes, at + 4)
    let header = 8
    let size = view.getUint32(at)
    if (size === 0) size = to - at
    else if (size === 1) {
      if (at + 16 > to) throw broken('a box is cut off')
      header = 16
      size = Number(view.getBigUint64(at + 8))
    }
    if (size < header || at + size > to) throw broken(`the box ${JSON.stringify(type)} does not fit`)
    yield { type, start: at + header, end: at + size }
    at += size
  }
}

/** The boxes of the file up to the end or to what some phones append, which need not be boxes. */
function topLevel(bytes: Uint8Array): Box[] {
  const found: Box[] = []
  try {
    for (const box of boxes(bytes, 0, bytes.length)) found.push(box)
  } catch (error) {
    const rest = found.at(-1)?.end ?? 0
    if (/^(ftyp|meta|mdat|moov|free|idat)$/.test(textAt(bytes, rest + 4))) throw error
  }
  return found
}

function hideAllButPrimary(bytes: Uint8Array, inMeta: readonly Box[]): void {
  const view = viewOf(bytes)
  const id = (box: Box, at: number, wide: boolean): number => {
    if (box.start + at + (wide ? 4 : 2) > box.end) throw broken(`the box ${box.type} is too short`)
    return wide ? view.getUint32(box.start + at) : view.getUint16(box.start + at)
  }
  const pitm = inMeta.find(box => box.type === 'pitm')
  const iinf = inMeta.find(box => box.type === 'iinf')
  if (pitm === undefined || iinf === undefined) throw broken('it has no primary picture')
  const primary = id(pitm, 4, bytes[pitm.start] !== 0)
  for (const infe of boxes(bytes, iinf.start + (bytes[iinf.start] === 0 ? 6 : 8), iinf.end)) {
    const version = bytes[infe.start] ?? 0
    if (version >= 2 && id(infe, 4, version > 2) !== primary) view.setUint8(infe.start + 3, 1)
  }
}

function largestExtent(bytes: Uint8Array, properties: readonly Box[]): { width: number; height: number } {
  const extents = properties
    .filter(box => box.type === 'ispe' && box.end - box.start >= 12)
    .map(box => ({ width: viewOf(bytes).getUint32(box.start + 4), height: viewOf(bytes).getUint32(box.start + 8) }))
  return {
    width: Math.max(0, ...extents.map(extent => extent.width)),
    height: Math.max(0, ...extents.map(extent => extent.height)),
  }
}

function profile(bytes: Uint8Array, properties: readonly Box[]): Uint8Array | null {
  const colr = properties.find(box => box.type === 'colr' && /^(prof|rICC)$/.test(textAt(bytes, box.start)))
  return colr === undefined ? null : bytes.subarray(colr.start + 4, colr.end)
}
