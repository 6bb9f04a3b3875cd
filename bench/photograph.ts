import sharp from 'sharp'

/** A JPEG that costs about what a photograph does: light that changes over it, and the noise of a sensor. The same size in bytes within some percent. */
export async function photograph(width: number, height: number): Promise<Buffer> {
  const stops = ['#123a5c', '#e8a35c', '#3c5a2a'].map((colour, n) => `<stop offset="${n / 2}" stop-color="${colour}"/>`).join('')
  const light = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
    <linearGradient id="l" x2="0.4" y2="1">${stops}</linearGradient><rect width="100%" height="100%" fill="url(#l)"/></svg>`
  const noise = sharp({
    create: { width, height, channels: 3, background: '#888', noise: { type: 'gaussian', mean: 128, sigma: 45 } },
  })
  const grain = await noise.blur(1).raw().toBuffer()
  return sharp(grain, { raw: { width, height, channels: 3 } })
    .composite([{ input: Buffer.from(light), blend: 'hard-light' }])
    .jpeg({ quality: 88 })
    .toBuffer()
}
