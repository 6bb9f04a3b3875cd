import type { Imaging } from '../../kernel/ports/imaging.ts'
import { Problem } from '../../kernel/problem.ts'
import { type PoolOptions, workerPool } from './pool.ts'
import { sniff } from './sniff.ts'

/** Imaging by sharp (libvips) and, for HEIC, libheif, in processes of their own. */
export function imaging(options: PoolOptions = {}): Imaging {
  const pool = workerPool(new URL('./worker.ts', import.meta.url), options)
  return {
    async process(bytes) {
      const format = sniff(bytes)
      if (format === null) {
        throw new Problem('unsupported_media_type', 'Images are JPEG, PNG, WebP, AVIF, GIF or HEIC, told by their content.')
      }
      return pool.run({ bytes, format })
    },
    close: pool.close,
  }
}
