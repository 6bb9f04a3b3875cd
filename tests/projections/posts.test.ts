import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AccountErased } from '../../src/domain/accounts/account.ts'
import type { Audience } from '../../src/domain/posts/content.ts'
import { type PostContent, PostDeleted, PostEdited, type PostEvent, PostPublished } from '../../src/domain/posts/post.ts'
import type { EventOf } from '../../src/kernel/events.ts'
import { postsModel } from '../../src/projections/posts/project.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'
import { projected } from '../support/projection.ts'

const [ada, ben, one, two, m1, m2] = [1, 2, 3, 4, 5, 6].map(n => `00000000-0000-4000-8000-00000000000${n}`) as [
  string,
  string,
  string,
  string,
  string,
  string,
]

const content = (changes: Partial<PostContent> = {}): PostContent => ({
  caption: 'Light #dawn',
  hashtags: ['dawn'],
  altTexts: ['a tree', null],
  location: { name: 'Pier', lat: 1.5, lng: -2 },
  mentionIds: [ben],
  audience: { kind: 'public' },
  comments: 'everyone',
  ...changes,
})
const published = (postId: string, authorId: string, changes?: Partial<PostContent>) =>
  PostPublished({ postId, authorId, mediaIds: [m1, m2], ...content(changes) })
const edited = (postId: string, authorId: string, changes?: Partial<PostContent>) =>
  PostEdited({ postId, authorId, addedMentionIds: [], previousAudience: null, ...content(changes) })
const deleted = (postId: string, authorId: string) =>
  PostDeleted({ postId, authorId, mediaIds: [m1, m2], audience: { kind: 'public' } })
const erased = (accountId: string) =>
  AccountErased({ accountId, erasureId: ada, handle: 'h', reservationId: ada, emailKey: null })

let kernel: TestKernel
beforeAll(async () => {
  kernel = await testKernel()
})
afterAll(() => kernel.close())

const rowsAfter = (...events: (PostEvent | EventOf<typeof AccountErased>)[]) => projected(kernel.db, postsModel, events)
const counts = (rows: Awaited<ReturnType<typeof rowsAfter>>) =>
  Object.fromEntries(rows.counts!.map(({ author, posts }) => [author, posts]))

describe('the posts model', () => {
  it('shows a post with its pictures in order', async () => {
    const rows = await rowsAfter(published(one, ada, { audience: { kind: 'accounts', accountIds: [ben] } }))
    expect(rows.posts).toMatchObject([
      {
        id: one,
        author: ada,
        caption: 'Light #dawn',
        hashtags: ['dawn'],
        location: { name: 'Pier', lat: 1.5, lng: -2 },
        audience: 'accounts',
        audience_accounts: [ben],
        comments: 'everyone',
        mention_ids: [ben],
        edited_at: null,
        position: 1,
        revision: 0,
      },
    ])
    expect(rows.media).toMatchObject([
      { post: one, ordinal: 0, media: m1, alt_text: 'a tree' },
      { post: one, ordinal: 1, media: m2, alt_text: null },
    ])
  })

  it('takes the last edit, keeps the time and place of publication', async () => {
    const rows = await rowsAfter(
      published(one, ada),
      edited(one, ada, { caption: 'first' }),
      edited(one, ada, { caption: null, hashtags: [], altTexts: [null, 'a pier'], location: null, mentionIds: [] }),
    )
    expect(rows.posts).toMatchObject([{ caption: null, hashtags: [], location: null, mention_ids: [], position: 1, revision: 2 }])
    expect(rows.posts![0]!.edited_at).not.toBe(rows.posts![0]!.created_at)
    expect(rows.media!.map(({ alt_text }) => alt_text)).toEqual([null, 'a pier'])
  })

  it.each<[Audience, object]>([
    [{ kind: 'public' }, { [ada]: 1 }],
    [{ kind: 'followers' }, { [ada]: 1 }],
    [{ kind: 'close_friends' }, {}],
    [{ kind: 'accounts', accountIds: [ben] }, {}],
  ])('counts posts for %o: %o', async (audience, expected) => {
    expect(counts(await rowsAfter(published(one, ada, { audience })))).toEqual(expected)
    expect(counts(await rowsAfter(published(one, ada), edited(one, ada, { audience })))).toEqual(expected)
    const narrow = { kind: 'close_friends' } as const
    expect(counts(await rowsAfter(published(one, ada, { audience: narrow }), edited(one, ada, { audience })))).toEqual(expected)
  })

  it('counts each author alone, and not what is deleted', async () => {
    const rows = await rowsAfter(
      published(one, ada),
      published(two, ben),
      published(m1, ada),
      deleted(one, ada),
      deleted(two, ben),
    )
    expect(counts(rows)).toEqual({ [ada]: 1 })
    expect(rows.posts).toMatchObject([{ id: m1 }])
    expect(rows.media).toHaveLength(2)
  })

  it('forgets an erased author, and what they were just posting', async () => {
    const rows = await rowsAfter(published(one, ada), published(two, ben), erased(ada), edited(one, ada), published(m1, ada))
    expect(counts(rows)).toEqual({ [ben]: 1 })
    expect(rows.posts).toMatchObject([{ id: two }])
    expect(rows.media).toMatchObject([{ post: two }, { post: two }])
  })

  it('takes events whose words are gone with their author', async () => {
    const gone = { caption: null, hashtags: null, altTexts: null, location: null }
    const rows = await rowsAfter(published(one, ada, gone), edited(one, ada, gone))
    expect(rows.posts).toMatchObject([{ caption: null, hashtags: [], location: null }])
    expect(rows.media).toMatchObject([{ alt_text: null }, { alt_text: null }])
  })
})
