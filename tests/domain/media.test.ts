import { describe, it } from 'vitest'
import {
  MediaAttached,
  type MediaCommand,
  MediaDiscarded,
  MediaUploaded,
  type MediaUse,
  media,
} from '../../src/domain/media/media.ts'
import { given } from '../support/domain.ts'

const upload = {
  mediaId: 'm',
  ownerId: 'ada',
  width: 400,
  height: 300,
  renditions: [{ name: 'full', width: 400, height: 300 }],
  blurhash: 'L0',
}
const uploaded = MediaUploaded({ ...upload, kind: 'image' })
const inPost = (postId: string): MediaUse => ({ kind: 'post', postId })
const avatar: MediaUse = { kind: 'avatar' }
const attached = (use: MediaUse) => MediaAttached({ mediaId: 'm', ownerId: 'ada', use })
const discarded = MediaDiscarded({ mediaId: 'm', ownerId: 'ada' })
const attach = (use: MediaUse, ownerId = 'ada', inPlaceOf?: string): MediaCommand => ({ type: 'Attach', ownerId, use, inPlaceOf })
const discard = (from: MediaUse | null): MediaCommand => ({ type: 'Discard', from })

describe('an upload', () => {
  it('is a fact once', () =>
    given(media)
      .when({ type: 'Upload', ...upload })
      .then([uploaded]))
  it('is no event a second time', () =>
    given(media, uploaded)
      .when({ type: 'Upload', ...upload })
      .then([]))
  it('does not come back', () =>
    given(media, uploaded, discarded)
      .when({ type: 'Upload', ...upload })
      .then([]))
})

describe('giving a picture a place', () => {
  it('puts it into one post', () =>
    given(media, uploaded)
      .when(attach(inPost('p')))
      .then([attached(inPost('p'))]))
  it('makes it an avatar', () =>
    given(media, uploaded)
      .when(attach(avatar))
      .then([attached(avatar)]))
  it('is no event where it stands there', () =>
    given(media, uploaded, attached(inPost('p')))
      .when(attach(inPost('p')))
      .then([]))
  it('refuses a second post', () =>
    given(media, uploaded, attached(inPost('p')))
      .when(attach(inPost('q')))
      .then('media_in_use'))
  it('refuses an avatar from a post', () =>
    given(media, uploaded, attached(inPost('p')))
      .when(attach(avatar))
      .then('media_in_use'))
  it('refuses a post from an avatar', () =>
    given(media, uploaded, attached(avatar))
      .when(attach(inPost('p')))
      .then('media_in_use'))
  it('takes it over from a post that never came', () =>
    given(media, uploaded, attached(inPost('p')))
      .when(attach(inPost('q'), 'ada', 'p'))
      .then([attached(inPost('q'))]))
  it('takes over from that post alone', () =>
    given(media, uploaded, attached(inPost('o')))
      .when(attach(inPost('q'), 'ada', 'p'))
      .then('media_in_use'))
  it('is for its owner', () =>
    given(media, uploaded)
      .when(attach(inPost('p'), 'ben'))
      .then('media_not_found'))
  it('tells another nothing of its use', () =>
    given(media, uploaded, attached(inPost('p')))
      .when(attach(inPost('q'), 'ben', 'p'))
      .then('media_not_found'))
  it('refuses what is unknown', () => given(media).when(attach(avatar)).then('media_not_found'))
  it('refuses what is discarded', () => given(media, uploaded, discarded).when(attach(avatar)).then('media_not_found'))
})

describe('discarding', () => {
  it('takes what is unused', () => given(media, uploaded).when(discard(null)).then([discarded]))
  it('leaves what is used', () =>
    given(media, uploaded, attached(inPost('p')))
      .when(discard(null))
      .then([]))
  it('takes it with its post', () =>
    given(media, uploaded, attached(inPost('p')))
      .when(discard(inPost('p')))
      .then([discarded]))
  it('leaves it with another post', () =>
    given(media, uploaded, attached(inPost('q')))
      .when(discard(inPost('p')))
      .then([]))
  it('takes a former avatar', () => given(media, uploaded, attached(avatar)).when(discard(avatar)).then([discarded]))
  it('is no event a second time', () => given(media, uploaded, discarded).when(discard(null)).then([]))
  it('is no event for what is unknown', () => given(media).when(discard(null)).then([]))
})

it('asking decides nothing', () => {
  given(media).when({ type: 'Recall' }).then([])
  given(media, uploaded).when({ type: 'Recall' }).then([])
})
