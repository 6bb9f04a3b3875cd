import { type Probe, probes } from './probes.ts'
import { type AccountType, audiences, type Thing } from './world.ts'

/**
 * Who sees what, written down apart from the rules: of a personal account, then of a private one, the profile, its lists of accounts, its posts and those
 * of them in the viewer's feed; posts for the public, for followers, for close friends, for named accounts.
 */
export const oracle = parse(`
  viewer                | profile lists posts feed | profile lists posts feed
  signed out            |       y     y y---  ---- |       y     - ----  ----
  stranger              |       y     y y---  ---- |       y     - ----  ----
  requested             |                          |       y     - ----  ----
  follower              |       y     y yy--  yy-- |       y     y yy--  yy--
  removed follower      |       y     y y--y  ---- |       y     - ----  ----
  unfollowed            |       y     y y--y  ---- |       y     - ----  ----
  close friend          |       y     y yyy-  yyy- |       y     y yyy-  yyy-
  removed close friend  |       y     y yy--  yy-- |       y     y yy--  yy--
  named                 |       y     y y--y  ---- |       y     - ----  ----
  named follower        |       y     y yy-y  yy-y |       y     y yy-y  yy-y
  blocked               |       -     - ----  ---- |       -     - ----  ----
  blocking              |       y     - ----  ---- |       y     - ----  ----
  author                |       y     y yyyy  yyyy |       y     y yyyy  yyyy
  erased                |       -     - ----  ---- |       -     - ----  ----
`)

export type Row = { viewer: string; profile: boolean; lists: boolean; posts: string; feed: string }

function parse(table: string): Record<AccountType, Row[]> {
  const lines = table
    .trim()
    .split('\n')
    .slice(1)
    .map(line => line.split('|').map(part => part.trim()))
  const column = (index: number): Row[] =>
    lines.flatMap(([viewer, ...types]) => {
      const [profile, lists, posts, feed] = types[index]!.split(/\s+/)
      return profile === ''
        ? []
        : [{ viewer: viewer!, profile: profile === 'y', lists: lists === 'y', posts: posts!, feed: feed! }]
    })
  return { personal: column(0), private: column(1) }
}

function expected({ viewer, profile, lists, posts, feed }: Row, { shown }: Probe, { audience }: Thing): boolean {
  const at = audiences.indexOf(audience)
  switch (shown) {
    case 'profile':
      return profile
    case 'lists':
      return lists
    case 'mutuals':
      return lists && viewer !== 'signed out'
    case 'post':
      return posts[at] === 'y'
    case 'ownPost':
      return viewer !== 'signed out' && posts[at] === 'y'
    case 'anyPost':
      return viewer !== 'signed out' && posts.includes('y')
    case 'feed':
      return feed[at] === 'y'
    case 'blocks':
      return viewer === 'blocking'
    case 'author':
      return viewer === 'author'
    case 'nobody':
      return false
    case 'everybody':
      return true
  }
}

/** What each GET should show of each thing, by path: `y-yy`. */
export const wantedOf = (row: Row, things: readonly Thing[]): Record<string, string> =>
  Object.fromEntries(
    Object.entries(probes).map(([path, probe]) => [
      path,
      things.map(thing => (expected(row, probe, thing) ? 'y' : '-')).join(''),
    ]),
  )
