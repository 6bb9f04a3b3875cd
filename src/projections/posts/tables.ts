import type { Audience, Location, WhoComments } from '../../domain/posts/content.ts'
import type { AccountId, MediaId, PostId } from '../../kernel/ids.ts'
import { changesTable } from '../../kernel/projecting/notes.ts'

/** One post that is not deleted. `position`: of its publication, which all lists go by. */
export type PostRow = {
  id: PostId
  author: AccountId
  caption: string | null
  hashtags: string[]
  location: Location | null
  audience: Audience['kind']
  /** The named ones, where the audience is `accounts`. */
  audience_accounts: AccountId[]
  comments: WhoComments
  mention_ids: AccountId[]
  created_at: string
  edited_at: string | null
  position: number
  revision: number
}

export type PostMediaRow = { post: PostId; ordinal: number; media: MediaId; alt_text: string | null }

/** `posts`: those for the public and for followers; no row stands for 0. */
export type PostCountRow = { author: AccountId; posts: number }

export const postTables = {
  posts: {
    columns: `
      id uuid primary key,
      author uuid not null,
      caption text,
      hashtags text[] not null,
      location json,
      audience text not null,
      audience_accounts uuid[] not null,
      comments text not null,
      mention_ids uuid[] not null,
      created_at timestamptz not null,
      edited_at timestamptz,
      position bigint not null,
      revision int not null`,
    indexes: ['(author, position)'],
  },
  media: {
    columns: `
      post uuid not null,
      ordinal int not null,
      media uuid not null,
      alt_text text,
      primary key (post, ordinal)`,
  },
  counts: { columns: 'author uuid primary key, posts int not null' },
  /** A post that was under way when its author was erased must not come to be. */
  erased: { columns: 'account uuid primary key' },
  changes: changesTable,
} as const
