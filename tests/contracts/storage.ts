import { beforeEach, describe, expect, test } from 'vitest'
import type { Storage, StoredObject } from '../../src/kernel/ports/storage.ts'

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
export const textOf = (found: StoredObject | null): Promise<string> => new Response(found?.stream).text()
export const keysUnder = async (storage: Storage, prefix: string): Promise<string[]> =>
  (await Array.fromAsync(storage.list(prefix))).sort()

/** What every adapter of the storage does; `open` answers an empty one. */
export function storageContract(name: string, open: () => Promise<Storage>): void {
  describe(`a storage: ${name}`, () => {
    let storage: Storage
    beforeEach(async () => {
      storage = await open()
    })

    test('gives back what was put, with its size and type', async () => {
      await storage.put('media/one/small.jpg', bytes('picture'), 'image/jpeg')
      const found = await storage.get('media/one/small.jpg')
      expect(found).toMatchObject({ size: 7, contentType: 'image/jpeg' })
      expect(await textOf(found)).toBe('picture')
    })

    test('keeps bytes exactly, empty and large ones too', async () => {
      const large = new Uint8Array(3_000_001).map((_, index) => (index * 31) % 251)
      for (const content of [new Uint8Array(0), large]) {
        await storage.put('media/one/full.jpg', content, 'image/jpeg')
        const found = await storage.get('media/one/full.jpg')
        expect(found?.size).toBe(content.length)
        expect(Buffer.from(await new Response(found?.stream).arrayBuffer()).equals(content)).toBe(true)
      }
    })

    test('a second put replaces, and an open stream goes on with the first', async () => {
      await storage.put('media/one/small.jpg', bytes('before'), 'image/jpeg')
      const open = await storage.get('media/one/small.jpg')
      await storage.put('media/one/small.jpg', bytes('after'), 'image/jpeg')
      expect(await textOf(open)).toBe('before')
      expect(await textOf(await storage.get('media/one/small.jpg'))).toBe('after')
    })

    test('a stream can be cancelled', async () => {
      await storage.put('media/one/small.jpg', new Uint8Array(1_000_000), 'image/jpeg')
      const found = await storage.get('media/one/small.jpg')
      await found?.stream.cancel()
      expect((await found?.stream.getReader().read())?.done).toBe(true)
    })

    test('knows nothing of what was never put', async () => {
      expect(await storage.get('media/none/small.jpg')).toBeNull()
      expect(await keysUnder(storage, 'media/none/')).toEqual([])
    })

    test('many at once, into one new prefix, all arrive', async () => {
      const keys = Array.from({ length: 30 }, (_, index) => `media/many/r${index + 10}.jpg`)
      await Promise.all(keys.map(key => storage.put(key, bytes(key), 'image/jpeg')))
      expect(await keysUnder(storage, 'media/many/')).toEqual(keys)
      expect(await Promise.all(keys.map(async key => textOf(await storage.get(key))))).toEqual(keys)
    })

    test('many at once under one key leave one of them whole', async () => {
      const contents = Array.from({ length: 20 }, (_, index) => String(index).repeat(10_000))
      await Promise.all(contents.map(content => storage.put('media/one/small.jpg', bytes(content), 'image/jpeg')))
      expect(contents).toContain(await textOf(await storage.get('media/one/small.jpg')))
    })

    test('lists what is under a prefix and nothing beside it', async () => {
      const keys = ['media/a/full.jpg', 'media/a/small.jpg', 'media/ab/full.jpg', 'other/a/full.jpg']
      for (const key of keys) await storage.put(key, bytes(key), 'image/jpeg')
      expect(await keysUnder(storage, 'media/a/')).toEqual(keys.slice(0, 2))
      expect(await keysUnder(storage, 'media/')).toEqual(keys.slice(0, 3))
    })

    test('removes a key, a prefix, and without complaint what is not there', async () => {
      for (const key of ['media/a/full.jpg', 'media/a/small.jpg', 'media/ab/full.jpg'])
        await storage.put(key, bytes(key), 'image/jpeg')
      await storage.remove('media/a/small.jpg')
      expect(await keysUnder(storage, 'media/a/')).toEqual(['media/a/full.jpg'])
      await storage.remove('media/a/')
      expect(await keysUnder(storage, 'media/')).toEqual(['media/ab/full.jpg'])
      await storage.remove('media/a/')
      await storage.remove('media/a/small.jpg')
      await storage.remove('never/was/')
    })

    test.each([
      '',
      '/',
      'x.jpg',
      '/etc/x.jpg',
      '../x.jpg',
      'media/../x.jpg',
      'media/./x.jpg',
      'media//x.jpg',
      'media/.x.jpg',
      'media/x',
      'media/x.exe',
      'media/x.jpg/',
      'media/x.jpg\0',
      'media/x.jpg\n',
      'media\\x.jpg',
      'Media/x.jpg',
      'media/é.jpg',
      'media/%2e%2e/x.jpg',
      '.tmp/x.jpg',
      `media/${'a'.repeat(300)}.jpg`,
      `${'a/'.repeat(20)}x.jpg`,
    ])('refuses the key %j', async key => {
      await expect(storage.put(key, bytes('x'), 'image/jpeg')).rejects.toThrow('Not a storage key')
      await expect(storage.get(key)).rejects.toThrow('Not a storage key')
      await expect(storage.remove(key)).rejects.toThrow('Not a storage key')
    })

    test.each(['', '/', 'media', '../', 'media/../', 'media//', '.tmp/', 'media/x.jpg/'])(
      'refuses the prefix %j',
      async prefix => {
        await expect(keysUnder(storage, prefix)).rejects.toThrow('Not a storage prefix')
      },
    )

    test('refuses a type that the key does not stand for', async () => {
      await expect(storage.put('media/one/small.jpg', bytes('<html>'), 'text/html')).rejects.toThrow('does not stand for')
    })
  })
}
