import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Expecting, Heard, Opening } from './audience.ts'
import type { Asked, Figures } from './generator.ts'

/** A helper process, ended by `end`. */
function start(file: string): { child: ChildProcess; end(): Promise<void> } {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), { serialization: 'advanced' })
  const gone = once(child, 'exit')
  return {
    child,
    async end() {
      if (child.connected) child.disconnect()
      await gone
    },
  }
}

/** One answer of a helper. @throws where it fails or ends instead */
async function ask<Answer extends object>(child: ChildProcess, question: object): Promise<Answer> {
  const asking = new AbortController()
  const { signal } = asking
  try {
    child.send(question)
    const [answer] = await Promise.race([
      once(child, 'message', { signal }),
      once(child, 'exit', { signal }).then(() => [{ error: 'a helper process ended' }]),
    ])
    if ('error' in (answer as object)) throw new Error((answer as { error: string }).error)
    return answer as Answer
  } finally {
    asking.abort()
  }
}

export type Generator = { run(asked: Asked): Promise<Figures>; end(): Promise<void> }

/** The process that makes the load. */
export function startGenerator(): Generator {
  const { child, end } = start('./generator.ts')
  return { end, run: async asked => (await ask<{ figures: Figures }>(child, asked)).figures }
}

/** A process that does a thing bare: a Hono route for one value or file, a broadcast to sockets, the calls that make a picture. */
export type Bare = {
  readonly url: string
  readonly pid: number
  serve(what: { page: object } | { file: string }): Promise<void>
  /** Sends the text to all sockets at /live, so many times. */
  broadcast(text: string, times: number): Promise<void>
  /** Makes the renditions of the image again and again for so long. */
  imaging(image: Uint8Array, seconds: number): Promise<{ done: number; perSecond: number }>
  end(): Promise<void>
}

export async function startBare(): Promise<Bare> {
  const { child, end } = start('./bare.ts')
  const { port } = await ask<{ port: number }>(child, { listen: true })
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid!,
    end,
    async serve(what) {
      await ask(child, what)
    },
    async broadcast(text, times) {
      await ask(child, { broadcast: text, times })
    },
    imaging: (image, seconds) => ask(child, { image, seconds }),
  }
}

export type Audience = {
  /** Counts messages from here on. Answers, when all have come, how it went. */
  expect(asked: Expecting): Promise<() => Promise<Heard>>
  end(): Promise<void>
}

/** A process that holds sockets. */
export async function openAudience(opening: Opening): Promise<Audience> {
  const { child, end } = start('./audience.ts')
  try {
    await ask(child, { open: opening })
  } catch (error) {
    await end()
    throw error
  }
  return {
    end,
    async expect(asked) {
      await ask(child, { expect: asked })
      return () => ask(child, { heard: true })
    },
  }
}
