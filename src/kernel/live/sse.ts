import type { Transport, Who } from './client.ts'
import type { Hub } from './hub.ts'

/** Bytes that may wait before a topic's frame is left out; a stream has no topics, but `offer` is the same for both. */
const roomFor = 256 * 1024

/**
 * An SSE stream (WHATWG HTML, server-sent events) of the account's live messages: `id:` is the message's id, `data:` the whole message, no `event:`.
 * It begins with an `id:` alone, so that a browser that loses the connection before the first message misses nothing either.
 */
export function liveStream(hub: Hub, who: Who, lastEventId: string | null): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  const pulls: (() => void)[] = []
  let ended = false
  let gone = (): void => {}
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const write = (text: string): void => {
          if (!ended) controller.enqueue(encoder.encode(text))
        }
        const transport: Transport = {
          send({ id, text }) {
            write(`${id === undefined ? '' : `id: ${id}\n`}data: ${text}\n\n`)
            return ended || (controller.desiredSize ?? 0) > 0 ? null : new Promise(resolve => pulls.push(resolve))
          },
          offer({ text }) {
            if ((controller.desiredSize ?? 0) > -roomFor) write(`data: ${text}\n\n`)
          },
          heartbeat: () => write(': heartbeat\n\n'),
          close() {
            if (ended) return
            ended = true
            controller.close()
            for (const resolve of pulls.splice(0)) resolve()
          },
        }
        write(`retry: 2000\n${lastEventId === null ? `id: ${hub.lastEventId}\n` : ''}\n`)
        const connecting = hub.connect(who, transport, lastEventId)
        gone = () => {
          ended = true
          for (const resolve of pulls.splice(0)) resolve()
          void connecting.then(client => client.close(1000, 'closed'))
        }
      },
      pull() {
        for (const resolve of pulls.splice(0)) resolve()
      },
      cancel: () => gone(),
    },
    { highWaterMark: 64 * 1024, size: chunk => chunk?.byteLength ?? 0 },
  )
}
