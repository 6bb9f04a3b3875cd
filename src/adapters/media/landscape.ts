import sharp from 'sharp'

/** A picture that nobody took, for demonstrations: a sky, a sun and hills, as a JPEG. @param random gives numbers in [0, 1) */
export async function landscape(random: () => number): Promise<Buffer> {
  const hue = Math.floor(random() * 360)
  const [width, height] = random() < 0.5 ? [800, 1000] : [800, 600]
  const sun = `<circle cx="${Math.floor(random() * width)}" cy="${Math.floor((0.2 + random() * 0.3) * height)}" r="${60 + Math.floor(random() * 80)}" fill="hsl(${(hue + 40) % 360} 90% 80%)"/>`
  const hills = [0.55, 0.7, 0.85].map((top, index) => {
    const points = Array.from(
      { length: 7 },
      (_, n) => `${Math.floor((n / 6) * width)},${Math.floor((top + (random() - 0.5) * 0.15) * height)}`,
    )
    return `<polygon points="0,${height} ${points.join(' ')} ${width},${height}" fill="hsl(${(hue + 180) % 360} 30% ${40 - index * 12}%)"/>`
  })
  const sky = `<linearGradient id="s" x2="0" y2="1"><stop stop-color="hsl(${hue} 60% 45%)"/><stop offset="1" stop-color="hsl(${(hue + 30) % 360} 80% 75%)"/></linearGradient>`
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><defs>${sky}</defs><rect width="100%" height="100%" fill="url(#s)"/>${sun}${hills.join('')}</svg>`
  return sharp(Buffer.from(svg)).jpeg({ quality: 85 }).toBuffer()
}
