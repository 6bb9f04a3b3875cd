import { once } from 'node:events'
import WebSocket from 'ws'
import { now } from './processor.ts'

/** The audience of live messages: a process that holds many sockets and counts what each is told. */

export type Opening = {
  readonly url: string
  /** A socket for each. */
  readonly headers: readonly Readonly<Record<string, string>>[]
  /** What each sends once it is open, and how many messages end its beginning. */
  readonly frames: readonly string[]
  readonly first: number
}
/** Asks to wait until each has been told as often of this; `type` is how such a message begins. */
export type Expecting = { readonly type: string; readonly each: number }
/** When the last of all and the first were told (see `now`); how many bytes the last message had. */
export type Heard = { readonly last: number; readonly first: number; readonly bytes: number }

const opensAtOnce = 50
const patience = 60_000

const sockets: WebSocket[] = []
let type = ''
let each = 0
let told = new Uint16Array(0)
let missing = 0
let first = 0
let bytes = 0
let done = (_: Heard): void => {}
let broken = (_: Error): void => {}

async function open({ url, headers, frames, first: messages }: Opening): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    for (let n = next++; n < headers.length; n = next++) {
      const socket = new WebSocket(url, { headers: headers[n]!, perMessageDeflate: false, skipUTF8Validation: true })
      socket.on('close', code => broken(new Error(`a socket was closed: ${code}`)))
      await once(socket, 'open')
      let left = messages
      const begun = Promise.withResolvers<void>()
      const beginning = (): void => {
        if (--left <= 0) begun.resolve()
      }
      socket.on('message', beginning)
      for (const frame of frames) socket.send(frame)
      if (messages > 0) await begun.promise
      socket.off('message', beginning)
      socket.on('message', data => hear(n, data as Buffer))
      sockets.push(socket)
    }
  }
  await Promise.all(Array.from({ length: opensAtOnce }, lane))
}

function hear(n: number, data: Buffer): void {
  if (missing === 0 || data.indexOf(type) === -1) return
  const count = ++told[n]!
  if (count > each) broken(new Error('a socket was told more than there was'))
  if (missing === sockets.length * each) first = now()
  bytes = data.length
  if (--missing === 0) done({ first, last: now(), bytes })
}

let hearing: Promise<Heard> | null = null

function expect(asked: Expecting): void {
  const { promise, resolve, reject } = Promise.withResolvers<Heard>()
  ;({ type, each } = asked)
  told = new Uint16Array(sockets.length)
  missing = sockets.length * each
  const late = setTimeout(() => reject(new Error(`${missing} messages did not come`)), patience)
  done = resolve
  broken = reject
  hearing = promise.finally(() => clearTimeout(late))
  // Whoever asks for it is told.
  hearing.catch(() => {})
}

async function answer(asked: { open: Opening } | { expect: Expecting } | { heard: true }): Promise<object> {
  if ('open' in asked) await open(asked.open)
  else if ('expect' in asked) expect(asked.expect)
  else return (await hearing) ?? {}
  return {}
}

process.on('message', async (asked: Parameters<typeof answer>[0]) => {
  try {
    process.send?.(await answer(asked))
  } catch (error) {
    process.send?.({ error: String(error) })
  }
})
process.on('disconnect', () => process.exit(0))
