import { describe, expect, it } from 'vitest'
import type { Audience } from '../../src/domain/posts/content.ts'
import { knowable, maySeeContent, maySeePost, type Relation } from '../../src/reading/rules.ts'

const none: Relation = {
  follows: false,
  followsYou: false,
  requested: false,
  blocks: false,
  blockedBy: false,
  closeFriend: false,
  closeFriendOf: false,
}

/** The viewers, and what each sees of a post, by audience: of a personal account, then of a private one. `y` sees it. */
const viewers: Record<string, { viewerId: string | null; relation: Relation; personal: string; private: string }> = {
  //                                                                          public, followers, close friends, named accounts
  'nobody signed in': { viewerId: null, relation: none, personal: 'y---', private: '----' },
  stranger: { viewerId: 'viewer', relation: none, personal: 'y---', private: '----' },
  'who asked': { viewerId: 'viewer', relation: { ...none, requested: true }, personal: 'y---', private: '----' },
  'whom the author follows': { viewerId: 'viewer', relation: { ...none, followsYou: true }, personal: 'y---', private: '----' },
  follower: { viewerId: 'viewer', relation: { ...none, follows: true }, personal: 'yy--', private: 'yy--' },
  'close friend': {
    viewerId: 'viewer',
    relation: { ...none, follows: true, closeFriendOf: true },
    personal: 'yyy-',
    private: 'yyy-',
  },
  'who counts the author among theirs': {
    viewerId: 'viewer',
    relation: { ...none, followsYou: true, closeFriend: true },
    personal: 'y---',
    private: '----',
  },
  'a named stranger': { viewerId: 'named', relation: none, personal: 'y--y', private: '----' },
  'a named follower': { viewerId: 'named', relation: { ...none, follows: true }, personal: 'yy-y', private: 'yy-y' },
  'who blocks the author': { viewerId: 'named', relation: { ...none, blocks: true }, personal: '----', private: '----' },
  'whom the author blocks': { viewerId: 'named', relation: { ...none, blockedBy: true }, personal: '----', private: '----' },
  'the author': { viewerId: 'author', relation: none, personal: 'yyyy', private: 'yyyy' },
}

const audiences: Audience['kind'][] = ['public', 'followers', 'close_friends', 'accounts']

describe.each(Object.entries(viewers))('%s', (_, { viewerId, relation, ...sees }) => {
  it.each(['personal', 'private'] as const)('of a %s account', type => {
    const author = { id: 'author', isPrivate: type === 'private' }
    const seen = audiences.map(audience =>
      maySeePost(viewerId, { audience, audienceAccountIds: audience === 'accounts' ? ['named'] : [] }, author, relation),
    )
    expect(seen.map(each => (each ? 'y' : '-')).join('')).toBe(sees[type])
    if (seen.includes(true)) expect(maySeeContent(viewerId, author, relation)).toBe(true)
  })
})

describe('an account', () => {
  it('is known to whom it does not block, and to whom blocks it', () => {
    expect(knowable(none)).toBe(true)
    expect(knowable({ ...none, blocks: true })).toBe(true)
    expect(knowable({ ...none, blockedBy: true })).toBe(false)
  })

  it('shows its lists to strangers unless it is private, and not across a block', () => {
    const shown = (isPrivate: boolean, relation: Partial<Relation>) =>
      maySeeContent('viewer', { id: 'author', isPrivate }, { ...none, ...relation })
    expect(shown(false, {})).toBe(true)
    expect(shown(true, {})).toBe(false)
    expect(shown(true, { follows: true })).toBe(true)
    expect(shown(false, { blocks: true })).toBe(false)
    expect(shown(false, { blockedBy: true })).toBe(false)
  })
})
