import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import { isBlurhashValid } from 'blurhash'
import * as fc from 'fast-check'
import sharp, { type Sharp } from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { imaging } from '../../src/adapters/media/imaging.ts'
import type { Imaging, Picture, RenditionName } from '../../src/kernel/ports/imaging.ts'
import { Problem } from '../../src/kernel/problem.ts'
import { heic } from './heic.ts'

type Rgb = [red: number, green: number, blue: number]
const colours = { R: [200, 30, 30], G: [30, 200, 30], B: [30, 30, 200], W: [240, 240, 240] } satisfies Record<string, Rgb>

let images: Imaging
beforeAll(() => {
  images = imaging({ workers: 2 })
})
afterAll(() => images.close())

/** Four quarters: red, green / blue, white. */
function quarters(width = 96, height = 64): Sharp {
  const pixels = Buffer.alloc(width * height * 3)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++)
      pixels.set(colours[`${y < height / 2 ? 'RG' : 'BW'}`[x < width / 2 ? 0 : 1] as keyof typeof colours], (y * width + x) * 3)
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } })
}
const plain = (width: number, height: number, background: string): Sharp =>
  sharp({ create: { width, height, channels: 3, background } })

const rendition = (picture: Picture, name: RenditionName) => picture.renditions.find(found => found.name === name)!
const sizes = (picture: Picture): string[] => picture.renditions.map(({ name, width, height }) => `${name} ${width}x${height}`)

/** The colour in the middle of each quarter of `full`: top left, top right, bottom left, bottom right. */
async function quarterColours(picture: Picture): Promise<Rgb[]> {
  const { data, info } = await sharp(rendition(picture, 'full').bytes).raw().toBuffer({ resolveWithObject: true })
  const at = (x: number, y: number): Rgb => {
    const from = (Math.floor(y * info.height) * info.width + Math.floor(x * info.width)) * info.channels
    return [data[from]!, data[from + 1]!, data[from + 2]!]
  }
  return [at(0.25, 0.25), at(0.75, 0.25), at(0.25, 0.75), at(0.75, 0.75)]
}
const distance = (a: Rgb, b: Rgb): number => Math.max(...a.map((value, index) => Math.abs(value - b[index]!)))
/** The quarters by name, as `RGBW` for an upright picture: roughly, for CMYK has no such green. */
async function order(picture: Picture): Promise<string> {
  const named = (found: Rgb): string => Object.entries(colours).find(([, colour]) => distance(found, colour) < 100)?.[0] ?? '?'
  return (await quarterColours(picture)).map(named).join('')
}

/** The code of the problem that the bytes are refused with. */
async function refusal(bytes: Uint8Array): Promise<string> {
  const error = await images.process(bytes).then(
    () => 'accepted',
    (rejected: unknown) => rejected,
  )
  if (!(error instanceof Problem)) throw new Error(`not refused by a problem: ${String(error)}`)
  return error.code
}

/** The markers of a JPEG up to its end; anything but these would carry something of the original along. */
function markers(jpeg: Uint8Array): Set<number> {
  const found = new Set<number>()
  for (let at = 2; at + 4 <= jpeg.length; ) {
    const marker = jpeg[at + 1]!
    const stuffed = jpeg[at] !== 0xff || marker === 0 || (marker >= 0xd0 && marker <= 0xd7) // within a scan
    if (!stuffed) found.add(marker)
    at += stuffed ? 1 : 2 + jpeg[at + 2]! * 256 + jpeg[at + 3]!
  }
  return found
}
const pictureMarkers = [0xc0, 0xc1, 0xc2, 0xc4, 0xda, 0xdb, 0xdd]

function expectNoMetadata(picture: Picture): void {
  for (const { bytes } of picture.renditions) {
    for (const marker of markers(bytes)) expect(pictureMarkers).toContain(marker)
    const text = Buffer.from(bytes).toString('latin1')
    for (const sign of ['Exif\0', 'ICC_PROFILE', 'ns.adobe.com', 'x:xmpmeta', 'Photoshop', 'MM\0*', 'II*\0', 'secret']) {
      expect(text.includes(sign), sign).toBe(false)
    }
    expect([...bytes.subarray(-2)]).toEqual([0xff, 0xd9])
  }
}

describe('every accepted format', () => {
  const formats: [string, () => Promise<Buffer>][] = [
    ['JPEG', () => quarters().jpeg().toBuffer()],
    ['progressive JPEG', () => quarters().jpeg({ progressive: true }).toBuffer()],
    ['CMYK JPEG', () => quarters().toColourspace('cmyk').jpeg().toBuffer()],
    ['PNG', () => quarters().png().toBuffer()],
    ['interlaced palette PNG', () => quarters().png({ palette: true, progressive: true }).toBuffer()],
    ['16-bit PNG', () => quarters().toColourspace('rgb16').png().toBuffer()],
    ['WebP', () => quarters().webp().toBuffer()],
    ['lossless WebP', () => quarters().webp({ lossless: true }).toBuffer()],
    ['AVIF', () => quarters().avif().toBuffer()],
    ['GIF', () => quarters().gif().toBuffer()],
    ['HEIC', async () => heic()],
  ]
  test.each(formats)('%s', async (_, make) => {
    const picture = await images.process(await make())
    expect(await order(picture)).toBe('RGBW')
    expect(isBlurhashValid(picture.blurhash).result).toBe(true)
    expect(sizes(picture).map(size => size.split(' ')[0])).toEqual(['thumbnail', 'full'])
    expectNoMetadata(picture)
    for (const { contentType, bytes, width, height } of picture.renditions) {
      expect(contentType).toBe('image/jpeg')
      expect(await sharp(bytes).metadata()).toMatchObject({
        format: 'jpeg',
        width,
        height,
        space: 'srgb',
        channels: 3,
        depth: 'uchar',
      })
    }
  })

  test.each(['gif', 'webp'] as const)('the first frame of an animated %s', async format => {
    const frames = await Promise.all([quarters().png().toBuffer(), plain(96, 64, 'black').png().toBuffer()])
    const animated = await sharp(frames, { join: { animated: true } })
      .toFormat(format)
      .toBuffer()
    expect((await sharp(animated).metadata()).pages).toBe(2)
    const picture = await images.process(animated)
    expect([picture.width, picture.height, await order(picture)]).toEqual([96, 64, 'RGBW'])
  })

  test.each(['b-w', 'grey16'] as const)('%s becomes three channels', async space => {
    const picture = await images.process(await plain(40, 40, '#808080').toColourspace(space).png().toBuffer())
    for (const colour of await quarterColours(picture)) expect(distance(colour, [128, 128, 128])).toBeLessThan(4)
  })

  test('what is transparent becomes white', async () => {
    const clear = sharp({ create: { width: 60, height: 60, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } } })
    for (const bytes of [
      await clear.png().toBuffer(),
      await clear.webp().toBuffer(),
      await clear.avif().toBuffer(),
      await clear.gif().toBuffer(),
    ]) {
      for (const colour of await quarterColours(await images.process(bytes)))
        expect(distance(colour, [255, 255, 255])).toBeLessThan(3)
    }
  })

  test('what follows the picture in the file is left behind', async () => {
    const polyglot = Buffer.concat([await quarters().jpeg().toBuffer(), Buffer.from('<script>secret</script>PK\x03\x04secret')])
    const picture = await images.process(polyglot)
    expect(await order(picture)).toBe('RGBW')
    expectNoMetadata(picture)
  })

  test('a HEIC of any of its brands', async () => {
    for (const brands of [
      ['heix', 'mif1'],
      ['heim', 'mif1'],
      ['heis', 'mif1'],
      ['mif1', 'heic'],
      ['msf1', 'mif1', 'heic'],
    ]) {
      expect(await order(await images.process(heic({ brands })))).toBe('RGBW')
    }
  })

  test('the primary picture of a HEIC, not the first', async () => {
    expect(await order(await images.process(heic({ decoy: true })))).toBe('RGBW')
  })

  test('a HEIC with something of its maker behind it', async () => {
    expect(await order(await images.process(Buffer.concat([heic(), Buffer.from('SEFT trailer of a phone')])))).toBe('RGBW')
  })
})

describe('orientation is applied once', () => {
  const upright: readonly string[] = ['RGBW', 'GRWB', 'WBGR', 'BWRG', 'RBGW', 'BRWG', 'WGBR', 'GWRB']
  const orientations = upright.map((expected, index) => [index + 1, expected] as const)

  test.each(orientations)('EXIF orientation %i', async (orientation, expected) => {
    for (const format of ['jpeg', 'png', 'webp', 'avif'] as const) {
      const picture = await images.process(await quarters().withMetadata({ orientation }).toFormat(format).toBuffer())
      const [width, height] = orientation < 5 ? [96, 64] : [64, 96]
      expect([format, picture.width, picture.height, await order(picture)]).toEqual([format, width, height, expected])
      expect(rendition(picture, 'full')).toMatchObject({ width, height })
    }
  })

  test.each([
    ['a quarter turn', { rotate: 1 }, 'GWRB'],
    ['a half turn', { rotate: 2 }, 'WBGR'],
    ['three quarters', { rotate: 3 }, 'BRWG'],
    ['mirrored up and down', { mirror: 'vertical' }, 'BWRG'],
    ['mirrored left and right', { mirror: 'horizontal' }, 'GRWB'],
    ['turned, and EXIF says it too, as phones write it', { rotate: 3, exifOrientation: 6 }, 'BRWG'],
    ['not turned, whatever EXIF says', { exifOrientation: 6 }, 'RGBW'],
  ] as const)('HEIC: %s', async (_, options, expected) => {
    expect(await order(await images.process(heic(options)))).toBe(expected)
  })
})

describe('renditions', () => {
  test.each([
    [4000, 3000, ['thumbnail 150x150', 'small 320x240', 'medium 640x480', 'large 1080x810', 'full 2048x1536']],
    [3000, 4000, ['thumbnail 150x150', 'small 320x427', 'medium 640x853', 'large 1080x1440', 'full 1536x2048']],
    [1080, 1080, ['thumbnail 150x150', 'small 320x320', 'medium 640x640', 'full 1080x1080']],
    [641, 10, ['thumbnail 10x10', 'small 320x5', 'medium 640x10', 'full 641x10']],
    [320, 200, ['thumbnail 150x150', 'full 320x200']],
    [1000, 4000, ['thumbnail 150x150', 'small 320x1280', 'full 512x2048']],
    [5000, 2, ['thumbnail 1x1', 'small 320x1', 'medium 640x1', 'large 1080x1', 'full 2048x1']],
    [100, 60, ['thumbnail 60x60', 'full 100x60']],
    [1, 1, ['thumbnail 1x1', 'full 1x1']],
  ])('of %i x %i', async (width, height, expected) => {
    const picture = await images.process(await plain(width, height, 'teal').png().toBuffer())
    expect([picture.width, picture.height]).toEqual([width, height])
    expect(sizes(picture)).toEqual(expected)
  })

  test('are the same for the same bytes', async () => {
    const bytes = await quarters(700, 500).jpeg().toBuffer()
    expect(await images.process(bytes)).toEqual(await images.process(bytes))
  })

  test('many at once each get their own', async () => {
    const widths = Array.from({ length: 12 }, (_, index) => 20 + index)
    const pictures = await Promise.all(widths.map(async width => images.process(await plain(width, 10, 'red').png().toBuffer())))
    expect(pictures.map(picture => picture.width)).toEqual(widths)
  })
})

describe('colour and metadata', () => {
  test('a colour profile is applied and dropped, the same in a HEIC as in a PNG', async () => {
    const wide = await quarters(64, 64).withIccProfile('p3').png().toBuffer()
    const { icc } = await sharp(wide).metadata()
    const picture = await images.process(wide)
    expect(await order(picture)).toBe('RGBW')
    const tagged = await images.process(heic({ icc: icc! }))
    // the pixels of the HEIC are (200, 30, 30) in Display P3, which is a stronger red in sRGB
    expect(distance((await quarterColours(tagged))[0]!, [217, 0, 9])).toBeLessThan(6)
    expectNoMetadata(picture)
    expectNoMetadata(tagged)
  })

  test('nothing of EXIF, GPS, XMP, IPTC, profile and comments is left', async () => {
    const tags = {
      IFD0: { Copyright: 'secret', Artist: 'secret' },
      IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '43/1 28/1 2814/100' },
    }
    const tag = (image: Sharp): Sharp =>
      image.withExif(tags).withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/">secret</x:xmpmeta>').withIccProfile('p3')
    const segment = (marker: number, content: string): Buffer =>
      Buffer.from(`\xff${String.fromCharCode(marker, 0, content.length + 2)}${content}`, 'latin1')
    const jpeg = await tag(quarters(800, 600)).jpeg().toBuffer()
    const sources = [
      Buffer.concat([jpeg.subarray(0, 2), segment(0xed, 'Photoshop 3.0\0secret'), segment(0xfe, 'secret'), jpeg.subarray(2)]),
      await tag(quarters(800, 600)).png().toBuffer(),
      await tag(quarters(800, 600)).webp().toBuffer(),
      await tag(quarters(800, 600)).avif().toBuffer(),
    ]
    for (const source of sources) {
      expect(source.includes('secret')).toBe(true)
      expectNoMetadata(await images.process(source))
    }
  })
})

describe('refuses', () => {
  test.each<[string, string | Buffer]>([
    ['nothing', ''],
    ['SVG', '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>'],
    ['SVG behind an XML declaration', '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'],
    ['HTML', '<!doctype html><script>alert(1)</script>'],
    ['PDF', '%PDF-1.7\n'],
    ['ZIP', 'PK\x03\x04'],
    ['text', 'hello'],
    ['half a magic number', Buffer.from([0xff, 0xd8])],
    ['BMP', 'BM000000000000'],
    ['TIFF', Buffer.from('49492a0008000000', 'hex')],
    ['JPEG XL', Buffer.from('0000000c4a584c200d0a870a', 'hex')],
    ['WAV', 'RIFF0000WAVEfmt 0000'],
    ['MP4', Buffer.from('0000001866747970697336d6d703432000000006d703432', 'hex')],
    ['MP4 by its brand', heic({ brands: ['isom', 'mp42'] })],
    ['HEIF without a codec', heic({ brands: ['mif1', 'miaf'] })],
    ['random bytes', Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 7919) % 251))],
  ])('%s as unsupported', async (_, content) => {
    expect(await refusal(Buffer.from(content))).toBe('unsupported_media_type')
  })

  test('TIFF as unsupported, though HEIC passes through it inside', async () => {
    expect(await refusal(await quarters().tiff().toBuffer())).toBe('unsupported_media_type')
  })

  test.each([
    ['JPEG', Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16])],
    ['GIF and script', Buffer.from('GIF89a/*<svg onload=alert(1)>*/=1;')],
    ['WebP', Buffer.from('RIFF\xff\xff\0\0WEBPVP8 garbage garbage', 'latin1')],
    ['PNG', Buffer.from('\x89PNG\r\n\x1a\n<svg xmlns="http://www.w3.org/2000/svg"/>', 'latin1')],
    ['HEIC', Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'latin1')],
    [
      'HEIC whose box claims more than there is',
      Buffer.concat([heic().subarray(0, 24), Buffer.from('\xff\xff\xff\xffmeta', 'latin1')]),
    ],
    ['HEIC with one of two data boxes cut off', Buffer.concat([heic(), Buffer.from('\0\0\x04\0mdat', 'latin1')])],
    ['AVIF', Buffer.from('\0\0\0\x18ftypavif\0\0\0\0mif1avif', 'latin1')],
    ['HEIC that lies about its size', heic({ size: [4000, 4000] })],
  ])('what only begins like a picture: %s', async (_, bytes) => {
    expect(await refusal(bytes)).toBe('media_unreadable')
  })

  test.each([0.3, 0.6, 0.9, 0.98])('what ends early: %f of it', async share => {
    const noise = sharp({
      create: { width: 300, height: 200, channels: 3, background: 'grey', noise: { type: 'gaussian', mean: 128, sigma: 60 } },
    })
    const sources = {
      jpeg: await noise.jpeg().toBuffer(),
      progressive: await noise.jpeg({ progressive: true }).toBuffer(),
      png: await noise.png().toBuffer(),
      webp: await noise.webp().toBuffer(),
      avif: await noise.avif().toBuffer(),
      gif: await noise.gif().toBuffer(),
      heic: heic(),
    }
    const refusals = Object.entries(sources).map(async ([format, bytes]) => [
      format,
      await refusal(bytes.subarray(0, Math.floor(bytes.length * share))).catch(String),
    ])
    expect(await Promise.all(refusals)).toEqual(Object.keys(sources).map(format => [format, 'media_unreadable']))
  })

  test('damaged metadata is not a damaged picture', async () => {
    const exif = await quarters()
      .withExif({ IFD0: { Copyright: 'x'.repeat(200) } })
      .jpeg()
      .toBuffer()
    const png = await quarters()
      .withExif({ IFD0: { Copyright: 'x'.repeat(200) } })
      .png()
      .toBuffer()
    for (const bytes of [exif, png]) bytes.fill(0xee, bytes.indexOf('xxxx') - 40, bytes.indexOf('xxxx') + 50)
    const frame = exif.indexOf(Buffer.from([0xff, 0xc0]))
    const strayBytes = Buffer.concat([exif.subarray(0, frame), Buffer.from('stray'), exif.subarray(frame)])
    for (const bytes of [exif, png, strayBytes]) expect(await order(await images.process(bytes))).toBe('RGBW')
  })

  test.each([
    [60_000, 60_000],
    [16_385, 1],
    [1, 16_385],
    [16_000, 16_000],
  ])('a bomb of %i x %i before it is decoded', async (width, height) => {
    expect(await refusal(pngHeader(width, height))).toBe('payload_too_large')
    expect(await refusal(heic({ size: [width, height] }))).toBe('payload_too_large')
  })

  test('a JPEG that claims to be huge', async () => {
    const jpeg = await plain(10, 10, 'red').jpeg().toBuffer()
    jpeg.writeUInt16BE(65_000, jpeg.indexOf(Buffer.from([0xff, 0xc0])) + 5)
    expect(await refusal(jpeg)).toBe('payload_too_large')
  })

  test('whatever is damaged is a picture or a problem that the client can read, never a fault', { timeout: 60_000 }, async () => {
    const sources = await Promise.all([
      quarters().jpeg().toBuffer(),
      quarters().png().toBuffer(),
      quarters().webp().toBuffer(),
      quarters().avif().toBuffer(),
      quarters().gif().toBuffer(),
      heic({ rotate: 1, decoy: true, exifOrientation: 6 }),
    ])
    const damage = fc.record({
      source: fc.constantFrom(...sources),
      flips: fc.array(
        fc.record({ at: fc.double({ min: 0, max: 0.999_999, noNaN: true }), value: fc.integer({ min: 0, max: 255 }) }),
        { maxLength: 8 },
      ),
    })
    await fc.assert(
      fc.asyncProperty(damage, async ({ source, flips }) => {
        const bytes = Buffer.from(source)
        for (const { at, value } of flips) bytes[Math.floor(at * bytes.length)] = value
        await images.process(bytes).then(expectNoMetadata, (error: unknown) => {
          if (!(error instanceof Problem) || error.status >= 500) throw error
        })
      }),
      { numRuns: 150 },
    )
  })
})

test('does not keep the process alive, though nobody closes it', async () => {
  const script = `
    import { imaging } from ${JSON.stringify(new URL('../../src/adapters/media/imaging.ts', import.meta.url).href)}
    const picture = await imaging().process(Buffer.from('${(await quarters().png().toBuffer()).toString('base64')}', 'base64'))
    console.log(picture.width)`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module-typescript', '--eval', script])
  expect(stdout.trim()).toBe('96')
})

/** A folder of photographs from elsewhere, which the repository does not hold. */
const samples = process.env.DARKROOM_MEDIA_SAMPLES ?? ''
describe.skipIf(!existsSync(join(samples, 'iphone_13_pro_max.HEIC')))('real photographs (DARKROOM_MEDIA_SAMPLES)', () => {
  test.each([
    ['DSCN0010.jpg', 640, 480],
    ['landscape_6.jpg', 600, 450],
    ['HMD_Nokia_8.3_5G.jpg', 4608, 1976],
    ['iphone_13_pro_max.HEIC', 3024, 4032],
    ['image01551.jpg', 61, 58],
  ])('%s', { timeout: 60_000 }, async (name, width, height) => {
    const picture = await images.process(await readFile(join(samples, name)))
    expect(picture).toMatchObject({ width, height })
    expectNoMetadata(picture)
  })

  test.each(['landscape_6.jpg', 'HMD_Nokia_8.3_5G.jpg', 'iphone_13_pro_max.HEIC'])(
    '%s cut short',
    { timeout: 60_000 },
    async name => {
      const bytes = await readFile(join(samples, name))
      for (const share of [0.5, 0.999])
        expect(await refusal(bytes.subarray(0, Math.floor(bytes.length * share)))).toBe('media_unreadable')
    },
  )
})

/** A PNG that claims a size and has next to no pixels. */
function pngHeader(width: number, height: number): Buffer {
  const chunk = (type: string, content: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type), content])
    const frame = Buffer.alloc(8)
    frame.writeUInt32BE(content.length, 0)
    frame.writeUInt32BE(crc32(body), 4)
    return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)])
  }
  const header = Buffer.from('0000000000000000' + '0802000000', 'hex')
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', Buffer.from('789c030000000001', 'hex')),
    chunk('IEND', Buffer.alloc(0)),
  ])
}
