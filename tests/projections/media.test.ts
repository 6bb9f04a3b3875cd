import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AccountErased } from '../../src/domain/accounts/account.ts'
import { MediaAttached, MediaDiscarded, type MediaEvent, MediaUploaded, type MediaUse } from '../../src/domain/media/media.ts'
import type { EventOf } from '../../src/kernel/events.ts'
import { mediaModel } from '../../src/projections/media/project.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'
import { projected } from '../support/projection.ts'

const [ada, ben, one, two, post] = [1, 2, 3, 4, 5].map(n => `00000000-0000-4000-8000-00000000000${n}`) as [
  string,
  string,
  string,
  string,
  string,
]
const renditions = [{ name: 'full', width: 40, height: 30 }]
const uploaded = (mediaId: string, ownerId: string) =>
  MediaUploaded({ mediaId, ownerId, kind: 'image', width: 400, height: 300, renditions, blurhash: 'L00000' })
const attached = (mediaId: string, use: MediaUse) => MediaAttached({ mediaId, ownerId: ada, use })
const erased = (accountId: string) =>
  AccountErased({ accountId, erasureId: ada, handle: 'h', reservationId: ada, emailKey: null })

let kernel: TestKernel
beforeAll(async () => {
  kernel = await testKernel()
})
afterAll(() => kernel.close())

const mediaAfter = async (...events: (MediaEvent | EventOf<typeof AccountErased>)[]) =>
  (await projected(kernel.db, mediaModel, events)).media!

describe('the media model', () => {
  it('shows an upload with its sizes, in no post', async () => {
    expect(await mediaAfter(uploaded(one, ada))).toMatchObject([
      {
        id: one,
        owner: ada,
        kind: 'image',
        width: 400,
        height: 300,
        renditions,
        blurhash: 'L00000',
        post: null,
        is_avatar: false,
        position: 1,
      },
    ])
  })

  it('says where it stands: last in which post, or that it is an avatar', async () => {
    const rows = await mediaAfter(
      uploaded(one, ada),
      attached(one, { kind: 'post', postId: two }),
      attached(one, { kind: 'post', postId: post }),
      uploaded(two, ada),
      attached(two, { kind: 'avatar' }),
    )
    expect(rows).toMatchObject([
      { id: one, post, is_avatar: false },
      { id: two, post: null, is_avatar: true },
    ])
  })

  it('forgets what is discarded', async () => {
    expect(
      await mediaAfter(uploaded(one, ada), MediaDiscarded({ mediaId: one, ownerId: ada }), uploaded(two, ada)),
    ).toMatchObject([{ id: two }])
  })

  it('forgets what an erased account had, and what it was just uploading', async () => {
    expect(await mediaAfter(uploaded(one, ada), uploaded(post, ben), erased(ada), uploaded(two, ada))).toMatchObject([
      { id: post },
    ])
  })
})
