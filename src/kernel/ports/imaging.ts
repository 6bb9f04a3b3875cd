export type RenditionName = 'thumbnail' | 'small' | 'medium' | 'large' | 'full'

/** One size of a picture: upright, sRGB, on white, without any metadata. Sizes in pixels. */
export type Rendition = { name: RenditionName; contentType: 'image/jpeg'; width: number; height: number; bytes: Uint8Array }

/**
 * What an uploaded image becomes. `width` and `height` are the original's, in pixels, after its orientation was applied.
 * `thumbnail` (a square of at most 150) and `full` (at most 2048 on the long edge) are always among the renditions;
 * `small`, `medium` and `large` (320, 640 and 1080 wide) only where `full` is wider than they are.
 */
export type Picture = { width: number; height: number; blurhash: string; renditions: Rendition[] }

/** Turns untrusted bytes into pictures, off the caller's thread. */
export interface Imaging {
  /**
   * Decodes a JPEG, PNG, WebP, AVIF, GIF (first frame) or HEIC, told by its content.
   *
   * Rejects with a `Problem`: `unsupported_media_type` for any other content, `payload_too_large` for more pixels than
   * are allowed, `media_unreadable` for damaged or hostile content, `unavailable` when too many pictures are waiting.
   */
  process(bytes: Uint8Array): Promise<Picture>
  /** Ends what is running (its callers get `unavailable`) and resolves when nothing is left behind. */
  close(): Promise<void>
}
