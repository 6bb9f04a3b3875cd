import { describe, expect, it } from 'vitest'
import { hashtagsOf, mentionsOf } from '../../src/domain/posts/content.ts'
import {
  PostAbandoned,
  type PostCommand,
  type PostContent,
  PostDeleted,
  PostEdited,
  PostPublished,
  post,
} from '../../src/domain/posts/post.ts'
import { given } from '../support/domain.ts'

const content: PostContent = {
  caption: 'Light #dawn @ben',
  hashtags: ['dawn'],
  altTexts: ['a tree', null],
  location: null,
  mentionIds: ['ben'],
  audience: { kind: 'public' },
  comments: 'everyone',
}
const ids = { postId: 'p', authorId: 'ada', mediaIds: ['m1', 'm2'] }
const published = PostPublished({ ...ids, ...content })
const publish: PostCommand = { type: 'Publish', ...ids, content }
const deleted = PostDeleted({ ...ids, audience: content.audience })
const abandoned = PostAbandoned({ postId: 'p' })
const edit = (changes: Partial<PostContent>, actorId = 'ada'): PostCommand => ({ type: 'Edit', actorId, changes })
const edited = (changes: Partial<PostContent>, more: object = {}) =>
  PostEdited({ postId: 'p', authorId: 'ada', addedMentionIds: [], previousAudience: null, ...content, ...changes, ...more })

describe('publishing', () => {
  it('is a fact', () => given(post).when(publish).then([published]))
  it('is no event a second time', () => given(post, published).when(publish).then([]))
  it('does not bring a deleted post back', () => given(post, published, deleted).when(publish).then('not_found'))
  it('fails where the post was abandoned', () => given(post, abandoned).when(publish).then('media_in_use'))
})

describe('abandoning', () => {
  it('is for a post that is not there', () => given(post).when({ type: 'Abandon', postId: 'p' }).then([abandoned]))
  it('leaves one that is', () => given(post, published).when({ type: 'Abandon', postId: 'p' }).then([]))
})

describe('editing', () => {
  it('keeps the whole content', () =>
    given(post, published)
      .when(edit({ caption: null, hashtags: [] }))
      .then([edited({ caption: null, hashtags: [] })]))
  it('without a change is no event', () =>
    given(post, published)
      .when(edit({ caption: content.caption }))
      .then([]))
  it('names who is newly mentioned', () =>
    given(post, published)
      .when(edit({ mentionIds: ['ben', 'cy'] }))
      .then([edited({ mentionIds: ['ben', 'cy'] }, { addedMentionIds: ['cy'] })]))
  it('names the audience before', () =>
    given(post, published)
      .when(edit({ audience: { kind: 'followers' } }))
      .then([edited({ audience: { kind: 'followers' } }, { previousAudience: { kind: 'public' } })]))
  it('changes the alt texts that are named', () =>
    given(post, published)
      .when({ type: 'Edit', actorId: 'ada', changes: {}, altTexts: [{ id: 'm2', altText: 'a pier' }] })
      .then([edited({ altTexts: ['a tree', 'a pier'] })]))
  it('clears an alt text', () =>
    given(post, published)
      .when({ type: 'Edit', actorId: 'ada', changes: {}, altTexts: [{ id: 'm1', altText: null }] })
      .then([edited({ altTexts: [null, null] })]))
  it('refuses a picture that is not its own', () =>
    given(post, published)
      .when({ type: 'Edit', actorId: 'ada', changes: {}, altTexts: [{ id: 'm3', altText: null }] })
      .then('validation_failed'))
  it('is for its author', () =>
    given(post, published)
      .when(edit({ caption: 'x' }, 'ben'))
      .then('forbidden'))
  it('needs a post', () => {
    given(post)
      .when(edit({ caption: 'x' }))
      .then('not_found')
    given(post, abandoned)
      .when(edit({ caption: 'x' }))
      .then('not_found')
    given(post, published, deleted)
      .when(edit({ caption: 'x' }))
      .then('not_found')
  })
})

describe('deleting', () => {
  it('is a fact', () => given(post, published).when({ type: 'Delete', actorId: 'ada' }).then([deleted]))
  it('is no event a second time', () => given(post, published, deleted).when({ type: 'Delete', actorId: 'ada' }).then([]))
  it('is for its author', () => given(post, published).when({ type: 'Delete', actorId: 'ben' }).then('forbidden'))
  it('tells nobody else that it was there', () =>
    given(post, published, deleted).when({ type: 'Delete', actorId: 'ben' }).then('not_found'))
  it('needs a post', () => {
    given(post).when({ type: 'Delete', actorId: 'ada' }).then('not_found')
    given(post, abandoned).when({ type: 'Delete', actorId: 'ada' }).then('not_found')
  })
  it('tells the audience of the last edit', () =>
    given(post, published, edited({ audience: { kind: 'followers' } }))
      .when({ type: 'Delete', actorId: 'ada' })
      .then([PostDeleted({ ...ids, audience: { kind: 'followers' } })]))
})

it('asking decides nothing', () => {
  given(post).when({ type: 'Recall' }).then([])
  given(post, published).when({ type: 'Recall' }).then([])
})

describe('the words of a caption', () => {
  it.each([
    ['#Dawn and #dawn', ['dawn']],
    ['(#a) #b, #c.', ['a', 'b', 'c']],
    ['#café #日本 #x_1', ['café', '日本', 'x_1']],
    ['#1 #2024 #4x', ['4x']],
    ['a#b x.org/#frag &#39;', []],
    ['##', []],
    [null, []],
  ])('hashtags of %j', (text, tags) => expect(hashtagsOf(text)).toEqual(tags))

  it.each([
    ['@Ben and @ben, @cy.', ['ben', 'cy']],
    ['hi @a.b_c!', ['a.b_c']],
    ['ada@example.org @.x @', []],
    [null, []],
  ])('mentions of %j', (text, names) => expect(mentionsOf(text)).toEqual(names))
})
