import { once } from 'node:events'
import WebSocket from 'ws'
import { sql } from '../../src/kernel/sql.ts'
import { postsModel } from '../../src/projections/posts/project.ts'
import { relationshipsModel } from '../../src/projections/relationships/project.ts'
import { natsServer, startNats } from '../../tests/support/nats-server.ts'
import type { Sent } from '../client.ts'
import { call, type Reader, settled, startDeployment } from '../deployment.ts'
import { quantile } from '../generator.ts'
import { allWell, inFlight, type Line, median, type Parts, type Row } from '../row.ts'

const samples = 200
const warmUpSeconds = 5

type Told = {
  readonly type: string
  readonly data: { readonly notification?: { readonly comment?: { readonly id: string } | null } }
}

/** From the answer to a comment until its author reads it with the answer's token, and until the post's author is told live. */
async function sampled(
  url: string,
  post: { id: string; author: Reader },
  writer: Reader,
): Promise<{ visible: number[]; live: number[] }> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/live`, { headers: post.author.headers })
  await once(socket, 'open')
  const told = new Map<string, number>()
  let wake = (): void => {}
  socket.on('message', bytes => {
    const { type, data } = JSON.parse(String(bytes)) as Told
    const id = type === 'notification.created' ? data.notification?.comment?.id : undefined
    if (id === undefined) return
    if (told.has(id)) throw new Error('a live message came twice')
    told.set(id, performance.now())
    wake()
  })
  socket.on('close', () => wake())
  const visible: number[] = []
  const live: number[] = []
  try {
    for (let n = 0; n < samples; n++) {
      const response = await fetch(`${url}/v1/posts/${post.id}/like`, {
        method: n % 2 === 0 ? 'PUT' : 'DELETE',
        headers: writer.headers,
      })
      await response.json()
      const acknowledged = performance.now()
      const token = response.headers.get('consistency-token') ?? ''
      const seen = await call<{ viewer: { liked: boolean } }>(url, 'GET', `/posts/${post.id}`, {
        headers: { ...writer.headers, 'Consistency-Token': token },
      })
      visible.push(performance.now() - acknowledged)
      if (seen.viewer.liked !== (n % 2 === 0)) throw new Error('a read with a token did not see its command')

      const { id } = await call<{ id: string }>(url, 'POST', `/posts/${post.id}/comments`, {
        headers: writer.headers,
        body: { text: `sample ${n}` },
      })
      const commented = performance.now()
      const late = setTimeout(() => socket.terminate(), 10_000)
      while (!told.has(id)) {
        if (socket.readyState !== WebSocket.OPEN) throw new Error('a live message did not come')
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
      clearTimeout(late)
      // The answer waits until the comment can be read, so the message may come before it.
      live.push(Math.max(0, told.get(id)! - commented))
    }
  } finally {
    socket.close()
  }
  return { visible: visible.sort((a, b) => a - b), live: live.sort((a, b) => a - b) }
}

const lineOf = (work: string, times: readonly number[], check: string): Line => ({
  ...{ work, rate: null, unit: '', p50: quantile(times, 0.5), p99: quantile(times, 0.99), limit: null, limitIs: '-' },
  ...{ aim: 'p50 5, p99 25', check },
})

/** How soon a command is seen, alone and beside 200 others a second. @param bus what live messages take */
const latencyOver = (bus: string): Row => ({
  name: 'latency',
  async run({ deployment, generator }: Parts) {
    const { url, db, readers } = deployment
    const [writer, ...others] = readers as [Reader, ...Reader[]]
    const found = await db.run<{ id: string; author: string }>(sql`
      select p.id, p.author from ${postsModel.t.posts} p where p.audience = 'public' and p.author = any(${others.map(({ id }) => id)}::uuid[])
        and not exists (select from ${relationshipsModel.t.blocks} b where b.blocker = p.author) order by p.id`)
    const seen: { id: string; author: Reader }[] = []
    for (const { id, author } of found) {
      const visible = await fetch(`${url}/v1/posts/${id}`, { headers: writer.headers })
      await visible.body?.cancel()
      if (visible.ok) seen.push({ id, author: others.find(other => other.id === author)! })
      if (seen.length === 40) break
    }
    const [post, ...liked] = seen
    if (post === undefined) throw new Error('nobody of the readers has a post')
    const requests = liked.flatMap(({ id }) =>
      (['PUT', 'DELETE'] as const).flatMap(method =>
        others.slice(0, 20).map((other): Sent => ({ method, path: `/v1/posts/${id}/like`, headers: other.headers })),
      ),
    )
    const likes = { kind: 'http', url, requests, once: false, inFlight } as const
    // A server that has written for a while, as in the other rows: over NATS it has just started, and what writes is not compiled yet.
    await allWell(generator.run({ ...likes, seconds: warmUpSeconds }))
    await settled(db)
    const idle = await sampled(url, post, writer)
    let over = false
    const beside: number[] = []
    const loading = (async () => {
      while (!over) beside.push((await allWell(generator.run({ ...likes, perSecond: 200, seconds: 2 }))).perSecond)
    })()
    const [busy, loaded] = await Promise.allSettled([
      sampled(url, post, writer).finally(() => {
        over = true
      }),
      loading,
    ])
    if (busy.status === 'rejected') throw busy.reason
    if (loaded.status === 'rejected') throw loaded.reason
    const borne = `; ${Math.round(median(beside, rate => rate))}/s were borne`
    return [
      lineOf(`like → visible, idle, ${bus}`, idle.visible, `each of ${samples} reads with a token saw its command`),
      lineOf(`comment → live, idle, ${bus}`, idle.live, `each of ${samples} told once`),
      lineOf(
        `like → visible, beside 200 commands/s, ${bus}`,
        busy.value.visible,
        `each of ${samples} reads with a token saw its command${borne}`,
      ),
      lineOf(`comment → live, beside 200 commands/s, ${bus}`, busy.value.live, `each of ${samples} told once${borne}`),
    ]
  },
})

export const latency = latencyOver('in-process bus')

/** The same with a NATS between: the folder's server is started anew. */
export async function latencyOverNats(folder: string, { sizes, generator, bare }: Omit<Parts, 'deployment'>): Promise<Line[]> {
  if (natsServer === null)
    return [lineOf('like → visible, comment → live, NATS', [], 'not measured: nats-server is not installed')]
  const nats = await startNats()
  try {
    const deployment = await startDeployment(folder, sizes, { NATS_URL: nats.url })
    try {
      return await latencyOver('NATS').run({ sizes, deployment, generator, bare })
    } finally {
      await deployment.stop()
    }
  } finally {
    await nats.end()
  }
}
