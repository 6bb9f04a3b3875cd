const contentTypes: Readonly<Record<string, string>> = { jpg: 'image/jpeg', mp4: 'video/mp4' }

const keyPattern = /^(?:[a-z0-9][a-z0-9_-]{0,63}\/){1,6}[a-z0-9][a-z0-9_-]{0,63}\.([a-z0-9]{2,4})$/
const prefixPattern = /^(?:[a-z0-9][a-z0-9_-]{0,63}\/){1,6}$/

/** What a key's bytes are; null for what is no key. */
export const typeOf = (key: string): string | null => contentTypes[keyPattern.exec(key)?.[1] ?? ''] ?? null

/** What a key's bytes are. @throws for what is no key */
export function contentTypeOf(key: string): string {
  const contentType = typeOf(key)
  if (contentType === null) throw new Error(`Not a storage key: ${key}`)
  return contentType
}

/** @throws for what is no key, or not one of such content */
export function mustStandFor(key: string, contentType: string): void {
  if (contentTypeOf(key) !== contentType) throw new Error(`The storage key ${key} does not stand for ${contentType}`)
}

export const isPrefix = (text: string): boolean => prefixPattern.test(text)

/** @throws for what is no prefix */
export function mustBePrefix(prefix: string): void {
  if (!isPrefix(prefix)) throw new Error(`Not a storage prefix: ${prefix}`)
}
