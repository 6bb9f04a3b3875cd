import type { AccountId } from '../../kernel/ids.ts'

/** Who may see a post; narrowed further by a private account and by blocks. */
export type Audience =
  | { kind: 'public' }
  | { kind: 'followers' }
  | { kind: 'close_friends' }
  | { kind: 'accounts'; accountIds: AccountId[] }

export type WhoComments = 'everyone' | 'followers' | 'off'

export type Location = { name: string; lat: number; lng: number }

export const captionLimits = { characters: 2_200, hashtags: 30, mentions: 20 } as const

const hashtag = /(?<![\p{L}\p{N}\p{M}_&/#])#([\p{L}\p{N}\p{M}_]{1,100})/gu
const mention = /(?<![\p{L}\p{N}\p{M}_.@/])@([a-z0-9._]{1,30})/giu

const unique = (texts: string[]): string[] => [...new Set(texts)]

/** The hashtags of a text in their order: lower case, without #, each once. Digits alone are no hashtag. */
export const hashtagsOf = (text: string | null): string[] =>
  unique([...(text ?? '').matchAll(hashtag)].map(([, tag]) => tag!.toLowerCase()).filter(tag => !/^\p{N}+$/u.test(tag)))

/** The usernames that a text mentions, in their order: lower case, without @, each once. A dot at the end belongs to the sentence. */
export const mentionsOf = (text: string | null): string[] =>
  unique(
    [...(text ?? '').matchAll(mention)]
      .map(([, name]) => name!.toLowerCase().replace(/\.+$/, ''))
      .filter(name => name !== '' && !name.startsWith('.')),
  )
