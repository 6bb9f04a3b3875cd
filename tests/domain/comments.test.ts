import { describe, it } from 'vitest'
import { CommentAdded, CommentDeleted, CommentEdited, comment } from '../../src/domain/comments/comment.ts'
import { given } from '../support/domain.ts'

const place = { commentId: 'c', postId: 'p', postAuthorId: 'ada', authorId: 'ben', parentId: null }
const words = { text: 'What light!', mentionIds: ['eve'] }
const added = CommentAdded({ ...place, repliedToId: null, ...words })
const deleted = CommentDeleted({ ...place, deletedBy: 'ben' })

describe('adding', () => {
  const add = { type: 'Add', ...place, repliedToId: null, ...words } as const

  it('is told once', () => {
    given(comment).when(add).then([added])
    given(comment, added).when(add).then([])
  })

  it('does not bring back what is deleted', () => given(comment, added, deleted).when(add).then('not_found'))
})

describe('editing', () => {
  const edit = (actorId: string, text: string, mentionIds: string[] = []) =>
    ({ type: 'Edit', actorId, text, mentionIds }) as const

  it('tells whom the new text mentions and the old one did not', () =>
    given(comment, added)
      .when(edit('ben', 'Look, both of you', ['eve', 'ada']))
      .then([CommentEdited({ ...place, text: 'Look, both of you', mentionIds: ['eve', 'ada'], addedMentionIds: ['ada'] })]))

  it('to the same text is nothing', () => given(comment, added).when(edit('ben', words.text)).then([]))

  it('is for its author alone', () => given(comment, added).when(edit('ada', 'Mine now')).then('forbidden'))

  it('finds nothing before it is added and after it is deleted', () => {
    given(comment).when(edit('ben', 'Hm')).then('not_found')
    given(comment, added, deleted).when(edit('ben', 'Hm')).then('not_found')
  })
})

describe('deleting', () => {
  const remove = (actorId: string) => ({ type: 'Delete', actorId }) as const

  it('is for its author and for the author of the post', () => {
    given(comment, added).when(remove('ben')).then([deleted])
    given(comment, added)
      .when(remove('ada'))
      .then([CommentDeleted({ ...place, deletedBy: 'ada' })])
    given(comment, added).when(remove('eve')).then('forbidden')
  })

  it('twice is nothing, for those who could', () => {
    given(comment, added, deleted).when(remove('ben')).then([])
    given(comment, added, deleted).when(remove('eve')).then('not_found')
  })

  it('finds nothing before it is added', () => given(comment).when(remove('ben')).then('not_found'))
})
