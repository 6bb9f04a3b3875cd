/** heic-decode ships no types. Pixels are 8-bit RGBA, in rows, upright: libheif applies the container's rotation and mirroring. */
declare module 'heic-decode' {
  type Pixels = { width: number; height: number; data: Uint8ClampedArray }
  type Item = { width: number; height: number; decode(): Promise<Pixels> }
  const decode: { all(input: { buffer: Uint8Array }): Promise<Item[] & { dispose(): void }> }
  export default decode
}
