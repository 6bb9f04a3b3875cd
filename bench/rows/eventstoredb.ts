import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { demoPassword } from '../../src/cli/invention.ts'
import { sql } from '../../src/kernel/sql.ts'
import { likesModel } from '../../src/projections/likes/project.ts'
import type { Sent } from '../client.ts'
import { call, makeFolder, type Reader, removeFolder, startDeployment } from '../deployment.ts'
import { photograph } from '../photograph.ts'
import { countOf, inShares, type Line, mustBe, type Parts, sideBySide } from '../row.ts'
import { written } from './writes.ts'

const people = 64
const posts = 300
const work = 'like over EventStoreDB'
const aim = '0.7'
const limitIs = 'append alone, no_stream, bare client'

type SignedUp = { readonly account: { readonly id: string }; readonly session: { readonly accessToken: string } }

/** What can be bulk-loaded is the log in Postgres alone: these are made by requests. */
async function network(url: string): Promise<{ readers: Reader[]; ids: string[] }> {
  const readers: Reader[] = []
  for (let n = 0; n < people; n++) {
    const body = {
      username: `reader.${n}`,
      email: `reader.${n}@demo.example`,
      password: demoPassword,
      displayName: `Reader ${n}`,
    }
    const { account, session } = await call<SignedUp>(url, 'POST', '/accounts', { body })
    readers.push({ id: account.id, headers: { Authorization: `Bearer ${session.accessToken}` } })
  }
  const picture = new Uint8Array(await photograph(64, 48))
  const ids: string[] = []
  for (let n = 0; n < posts; n++) {
    const { headers } = readers[n % people]!
    const upload = await fetch(`${url}/v1/media`, {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'image/jpeg' },
      body: picture,
    })
    const { id } = (await upload.json()) as { id: string }
    ids.push(
      (await call<{ id: string }>(url, 'POST', '/posts', { headers, body: { media: [{ id }], caption: 'Morning fog' } })).id,
    )
  }
  return { readers, ids }
}

/** A like with the log in the EventStoreDB of EVENTSTORE_URL, in a namespace of its own, beside the append that it comes to. */
export async function likeOverEventStoreDb(parts: Omit<Parts, 'deployment'>): Promise<Line[]> {
  const { EVENTSTORE_URL: eventStoreUrl } = process.env
  const absent = { work, rate: null, unit: '', p50: null, p99: null, limit: null, limitIs, aim }
  if (!eventStoreUrl) return [{ ...absent, check: 'not measured: EVENTSTORE_URL is not set' }]
  const namespace = `bench${randomBytes(6).toString('hex')}`
  const folder = await makeFolder()
  try {
    const deployment = await startDeployment(
      folder,
      { ...parts.sizes, accounts: 0 },
      { EVENTSTORE_URL: eventStoreUrl, NAMESPACE: namespace },
    )
    try {
      const { url } = deployment
      const { readers, ids } = await network(url)
      const requests = ids.flatMap(id =>
        readers.map(({ headers }): Sent => ({ method: 'PUT', path: `/v1/posts/${id}/like`, headers })),
      )
      const share = inShares(requests)
      const { ours, limit, all } = await sideBySide(
        { ...parts, deployment },
        () => ({ kind: 'http', url, requests: share(), once: true }),
        () => ({ kind: 'append', url: eventStoreUrl, prefix: `${namespace}_append-`, ...written }),
      )
      const done = all.reduce((sum, figures) => sum + figures.done, 0)
      const likes = (): Promise<number> => countOf(deployment, sql`select count(*) as count from ${likesModel.t.likes}`)
      const until = performance.now() + 60_000
      while ((await likes()) < done && performance.now() < until) await pause(20)
      mustBe('likes in the read model', await likes(), done)
      mustBe('likes counted', await countOf(deployment, sql`select sum(likes) as count from ${likesModel.t.counts}`), done)
      return [
        {
          ...{ ...absent, rate: ours.perSecond, unit: '/s', p50: ours.p50, p99: ours.p99, limit: limit.perSecond },
          check: `${done} acknowledged = rows = counted`,
        },
      ]
    } finally {
      await deployment.stop()
    }
  } finally {
    await removeFolder(folder)
  }
}
