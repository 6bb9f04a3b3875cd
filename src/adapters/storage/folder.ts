import { randomUUID } from 'node:crypto'
import { access, constants, type FileHandle, mkdir, open, opendir, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, relative, resolve, sep } from 'node:path'
import type { Storage } from '../../kernel/ports/storage.ts'
import { unavailable } from '../../kernel/problem.ts'
import { contentTypeOf, isPrefix, mustBePrefix, mustStandFor } from './keys.ts'

const putTries = 5

/** A put that crashed leaves a file here; one older than this (ms) belongs to no put that still runs, on this node or another. */
const abandonedAfter = 3_600_000

/**
 * Storage in a folder, which is made (mode 0700, files 0600) if it is not there. Files are written aside and renamed into
 * place; the file and every folder up to the root are synced before `put` resolves.
 */
export async function folderStorage(folder: string): Promise<Storage> {
  const root = resolve(folder)
  const aside = join(root, '.tmp')
  const made = await mkdir(aside, { recursive: true, mode: 0o700 })
  if (made !== undefined) await syncUpwards(aside, dirname(made))
  await removeAbandoned(aside)

  return {
    async put(key, bytes, contentType) {
      mustStandFor(key, contentType)
      const target = join(root, key)
      const draft = join(aside, randomUUID())
      for (let tries = 1; ; tries++) {
        try {
          await mkdir(dirname(target), { recursive: true, mode: 0o700 })
          await writeSynced(draft, bytes)
          await rename(draft, target)
          await syncUpwards(dirname(target), root) // up to the root: another put may have made a folder and not synced it yet
          return
        } catch (error) {
          await rm(draft, { force: true })
          // Somebody removed the folder under our hands: what is put comes after that.
          if (hasNoRoom(error)) throw unavailable('There is no room for pictures at this moment; try again later.', 60, error)
          if (tries === putTries || !isMissing(error)) throw error
        }
      }
    },

    async get(key) {
      const contentType = contentTypeOf(key)
      const file = await unlessMissing(open(join(root, key)))
      if (file === undefined) return null
      try {
        const { size } = await file.stat()
        return { stream: contentOf(file, size), size, contentType }
      } catch (error) {
        await file.close()
        throw error
      }
    },

    async remove(keyOrPrefix) {
      if (!isPrefix(keyOrPrefix)) contentTypeOf(keyOrPrefix)
      const path = join(root, keyOrPrefix)
      await rm(path, { recursive: true, force: true })
      await unlessMissing(syncFolder(dirname(path)))
    },

    look: () => access(aside, constants.R_OK | constants.W_OK),

    async *list(prefix) {
      mustBePrefix(prefix)
      for await (const path of filesUnder(join(root, prefix))) yield relative(root, path).replaceAll(sep, '/')
    },
  }
}

const mostAtOnce = 256 * 1024

/** The file's bytes as they are asked for, most pictures in one read: Node's own streams take twice the time. Closes the file at its end. */
function contentOf(file: FileHandle, size: number): ReadableStream<Uint8Array> {
  let at = 0
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const bytes = new Uint8Array(Math.min(mostAtOnce, size - at))
          const { bytesRead } = await file.read(bytes, 0, bytes.length, at)
          at += bytesRead
          if (bytesRead > 0) controller.enqueue(bytes.subarray(0, bytesRead))
          if (bytesRead > 0 && at < size) return
        } catch (error) {
          await file.close()
          throw error
        }
        await file.close()
        controller.close()
      },
      cancel: () => file.close(),
    },
    { highWaterMark: 0 },
  )
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return // there a folder cannot be opened, and NTFS journals the rename
  const folder = await open(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

async function syncUpwards(from: string, top: string): Promise<void> {
  for (let at = from; at.length >= top.length; at = dirname(at)) {
    await syncFolder(at)
    if (at === dirname(at)) return
  }
}

async function* filesUnder(folder: string): AsyncGenerator<string> {
  for await (const entry of (await unlessMissing(opendir(folder))) ?? []) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* filesUnder(path)
    else if (entry.isFile()) yield path
  }
}

async function removeAbandoned(aside: string): Promise<void> {
  for (const name of await readdir(aside)) {
    const draft = join(aside, name)
    const found = await unlessMissing(stat(draft))
    if (found !== undefined && found.mtimeMs < Date.now() - abandonedAfter) await rm(draft, { force: true })
  }
}

/** `undefined` where the file or folder is not there; any other error stays one. */
async function unlessMissing<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT'

/** The disk is full, over its quota, or was made read-only after a fault: nothing that the client did. */
const hasNoRoom = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ['ENOSPC', 'EDQUOT', 'EROFS'].includes(String(error.code))
