import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readlink, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { folderStorage } from '../../src/adapters/storage/folder.ts'
import { bytes, storageContract, textOf } from './storage.ts'

let folder: string
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'darkroom-storage-')), 'made', 'on', 'demand')
})
afterEach(() => rm(join(folder, '../../..'), { recursive: true, force: true }))

storageContract('folder', () => folderStorage(folder))

describe('folder storage on disk', () => {
  test('only its owner may read, and a put leaves nothing beside the file', async () => {
    const storage = await folderStorage(folder)
    await storage.put('media/one/small.jpg', bytes('picture'), 'image/jpeg')
    const modes = await Promise.all(
      ['', '.tmp', 'media', 'media/one', 'media/one/small.jpg'].map(async path => (await stat(join(folder, path))).mode & 0o777),
    )
    expect(modes).toEqual([0o700, 0o700, 0o700, 0o700, 0o600])
    expect(await readdir(join(folder, '.tmp'))).toEqual([])
  })

  test('a put that fails leaves nothing behind', async () => {
    const storage = await folderStorage(folder)
    await mkdir(join(folder, 'media/one/small.jpg'), { recursive: true })
    await expect(storage.put('media/one/small.jpg', bytes('picture'), 'image/jpeg')).rejects.toThrow()
    expect(await readdir(join(folder, '.tmp'))).toEqual([])
  })

  test('a start removes what a crashed put left, not what another node is writing, and keeps the objects', async () => {
    const first = await folderStorage(folder)
    await first.put('media/one/small.jpg', bytes('picture'), 'image/jpeg')
    const [left, running] = [join(folder, '.tmp', 'left'), join(folder, '.tmp', 'running')]
    await writeFile(left, 'half a pic')
    await writeFile(running, 'half a pic')
    await utimes(left, new Date(0), new Date(0))
    const second = await folderStorage(folder)
    expect([existsSync(left), existsSync(running)]).toEqual([false, true])
    expect(await textOf(await second.get('media/one/small.jpg'))).toBe('picture')
  })

  test.skipIf(process.platform !== 'linux')('streams close their file when read, cancelled or asked for in vain', async () => {
    const storage = await folderStorage(folder)
    await storage.put('media/one/small.jpg', new Uint8Array(200_000), 'image/jpeg')
    const open = async (): Promise<boolean> => {
      const handles = await readdir('/proc/self/fd')
      const files = await Promise.all(handles.map(fd => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
      return files.some(file => file.startsWith(folder))
    }
    const read = await storage.get('media/one/small.jpg')
    expect(await open()).toBe(true)
    await textOf(read)
    const cancelled = await storage.get('media/one/small.jpg')
    await cancelled?.stream.cancel()
    await storage.get('media/one/none.jpg')
    await expect.poll(open).toBe(false)
  })
})
