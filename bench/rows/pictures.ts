import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { folderStorage } from '../../src/adapters/storage/folder.ts'
import { sql } from '../../src/kernel/sql.ts'
import { accountsModel } from '../../src/projections/accounts/project.ts'
import { postsModel } from '../../src/projections/posts/project.ts'
import { renditionKey } from '../../src/reading/pictures.ts'
import { call } from '../deployment.ts'
import { photograph } from '../photograph.ts'
import { mustBe, type Row, sideBySide } from '../row.ts'

const many = 256

type Post = {
  readonly author: { readonly id: string }
  readonly media: readonly {
    readonly id: string
    readonly renditions: readonly { readonly name: string; readonly url: string }[]
  }[]
}

/** Pictures of posts by the URLs that readers got. What was loaded has no files: those that are fetched get one. */
export const pictures: Row = {
  name: 'pictures',
  async run(parts) {
    const { url, db, readers, mediaDir } = parts.deployment
    const picture = await photograph(640, 480)
    const storage = await folderStorage(mediaDir)
    const posts = await db.run<{ id: string }>(sql`
      select p.id from ${postsModel.t.posts} p join ${accountsModel.t.accounts} a on a.id = p.author and a.type = 'personal'
      where p.audience = 'public' order by p.id limit ${many}`)
    const paths = await Promise.all(
      posts.map(async ({ id }, n) => {
        const { author, media } = await call<Post>(url, 'GET', `/posts/${id}`, readers[n % readers.length]!)
        const [first] = media
        await storage.put(renditionKey(author.id, first!.id, 'medium'), picture, 'image/jpeg')
        const shown = new URL(first!.renditions.find(({ name }) => name === 'medium')!.url)
        return `${shown.pathname}${shown.search}`
      }),
    )
    const unsigned = await fetch(`${url}${paths[0]!.split('?')[0]}`)
    mustBe('a picture without its signature', unsigned.status, 404)
    mustBe('the bytes of a picture', Buffer.from(await (await fetch(`${url}${paths[0]}`)).arrayBuffer()).equals(picture), true)
    const file = join(mediaDir, 'bench.jpg')
    await writeFile(file, picture)
    await parts.bare.serve({ file })
    const get = (path: string) => ({ method: 'GET', path, headers: {} })
    const measured = await sideBySide(
      parts,
      () => ({ kind: 'http', url, requests: paths.map(get), once: false }),
      () => ({ kind: 'http', url: parts.bare.url, requests: [get('/file')], once: false }),
    )
    for (const { bytes, done } of [...measured.all, ...measured.limits]) mustBe('bytes of pictures', bytes, done * picture.length)
    const { ours, limit, cpu } = measured
    return [
      {
        ...{ work: 'picture by signed URL', rate: ours.perSecond, unit: '/s', p50: ours.p50, p99: ours.p99 },
        ...{ limit: limit.perSecond, limitIs: `bare Hono file route, ${Math.round(picture.length / 1_000)} kB`, aim: '0.5' },
        ...{ check: 'all 200, each with all its bytes; 404 unsigned', cpu },
      },
    ]
  },
}
