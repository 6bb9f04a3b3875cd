/** The stream is to be read to its end or cancelled: it holds a file or a connection open. */
export type StoredObject = { stream: ReadableStream<Uint8Array>; size: number; contentType: string }

/**
 * Keeps bytes under keys that the server makes, as `media/<uuid>/small.jpg`: folders and a name of lower-case letters,
 * digits, `_` and `-`, and an extension that agrees with the content type. Any other key is a fault of the caller and throws.
 */
export interface Storage {
  /** Stores or replaces, whole or not at all; once it resolves the bytes survive a crash. */
  put(key: string, bytes: Uint8Array, contentType: string): Promise<void>
  /** `null` when there is nothing under the key. */
  get(key: string): Promise<StoredObject | null>
  /** Removes one key, or with `/` at its end all keys under that prefix, for good. What is not there is no error. */
  remove(keyOrPrefix: string): Promise<void>
  /** The keys under a prefix that ends with `/`, in no particular order. */
  list(prefix: string): AsyncIterable<string>
  /** A URL from which anybody can GET the object for so many seconds (1 to 60), where the store can make such. It is not looked whether the object is there. */
  presign?(key: string, seconds: number): Promise<string>
  /** Rejects, at once and with the reason, where the store does not serve. */
  look(): Promise<void>
}
