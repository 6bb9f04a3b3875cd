/** Writes HEIC files around one tiny HEVC still, because nothing that the project installs can encode HEVC. */

// 64 x 64 pixels in four quarters: red, green / blue, white. Encoded once from our own pixels by Debian's heif-enc -q 40.
const hvcC = Buffer.from(
  'AQNwAAAAAAAAAAAAHvAA/P34+AAADwMgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQCEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqSSmubgQEDAgAAAMACAAAAwAIQCIAAQAHRAHBcrAiQA==',
  'base64',
)
const still = Buffer.from('AAAANCgBr1j5DpJf//K13/9R/kPk+2iS30Sqv9ofn/lfLl//ELbHypPP+ZSfd+H7+kt83EVz52Q=', 'base64')

export type HeicOptions = {
  brands?: readonly string[]
  /** Quarter turns against the clock, as the container says. */
  rotate?: number
  /** `vertical` swaps top and bottom. */
  mirror?: 'vertical' | 'horizontal'
  /** What the container says that the size is. */
  size?: readonly [width: number, height: number]
  icc?: Uint8Array
  /** Orientation in EXIF, which a reader of HEIC must leave alone. */
  exifOrientation?: number
  /** Puts another picture, upside down, before the primary one. */
  decoy?: boolean
}

export function heic(options: HeicOptions = {}): Buffer {
  const { brands = ['heic', 'mif1', 'heic'], size = [64, 64], rotate, mirror, icc, exifOrientation, decoy } = options
  const properties = [box('hvcC', hvcC), full('ispe', 0, u32(size[0]), u32(size[1])), box('irot', u8(2))]
  const own = [1, 2]
  const add = (property: Buffer): number => own.push(properties.push(property))
  if (icc !== undefined) add(box('colr', Buffer.from('prof'), Buffer.from(icc)))
  if (rotate !== undefined) add(box('irot', u8(rotate)))
  if (mirror !== undefined) add(box('imir', u8(mirror === 'vertical' ? 0 : 1)))

  const items: { id: number; type: string; data: Buffer; properties: number[] }[] = [
    { id: 2, type: 'hvc1', data: still, properties: own },
  ]
  if (decoy) items.unshift({ id: 1, type: 'hvc1', data: still, properties: [1, 2, 3] })
  if (exifOrientation !== undefined) items.push({ id: 3, type: 'Exif', data: exifOf(exifOrientation), properties: [] })

  const ftyp = box('ftyp', Buffer.from(brands[0]!), u32(0), ...brands.slice(1).map(brand => Buffer.from(brand)))
  const described = items.filter(item => item.properties.length > 0)
  const metaAt = (dataAt: number): Buffer => {
    let next = dataAt
    const extents = items.map(({ id, data }) => {
      next += data.length
      return Buffer.concat([u16(id), u16(0), u16(1), u32(next - data.length), u32(data.length)])
    })
    return full(
      'meta',
      0,
      full('hdlr', 0, u32(0), Buffer.from('pict'), Buffer.alloc(13)),
      full('pitm', 0, u16(2)),
      full('iloc', 0, u8(0x44), u8(0), u16(items.length), ...extents),
      full(
        'iinf',
        0,
        u16(items.length),
        ...items.map(({ id, type }) => full('infe', 2, u16(id), u16(0), Buffer.from(`${type}\0`))),
      ),
      ...(exifOrientation === undefined ? [] : [full('iref', 0, box('cdsc', u16(3), u16(1), u16(2)))]),
      box(
        'iprp',
        box('ipco', ...properties),
        full(
          'ipma',
          0,
          u32(described.length),
          ...described.map(({ id, properties: used }) =>
            Buffer.from([id >> 8, id, used.length, ...used.map(index => index | 0x80)]),
          ),
        ),
      ),
    )
  }
  const meta = metaAt(ftyp.length + metaAt(0).length + 8)
  return Buffer.concat([ftyp, meta, box('mdat', ...items.map(item => item.data))])
}

const u8 = (value: number): Buffer => Buffer.from([value])
const u16 = (value: number): Buffer => Buffer.from([value >> 8, value])
const u32 = (value: number): Buffer => Buffer.from([value >>> 24, value >> 16, value >> 8, value])
const full = (type: string, version: number, ...parts: Buffer[]): Buffer => box(type, Buffer.from([version, 0, 0, 0]), ...parts)
function box(type: string, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([u32(content.length + 8), Buffer.from(type), content])
}

/** An Exif item: where the TIFF starts, and a TIFF with nothing but the orientation. */
const exifOf = (orientation: number): Buffer =>
  Buffer.concat([u32(0), Buffer.from('MM\0*'), u32(8), u16(1), u16(0x112), u16(3), u32(1), u16(orientation), u16(0), u32(0)])
