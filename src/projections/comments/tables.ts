import { changesTable } from '../../kernel/projecting/notes.ts'

/**
 * Comments and replies, how many a post and a comment have, and what is gone for ever: posts, comments and accounts. By post and by parent they are
 * found while a rebuild still fills, so these two indexes are constraints.
 */
export const tables = {
  comments: {
    columns: `
      id uuid primary key, post uuid not null, post_author uuid not null, parent uuid, author uuid not null, text text, mention_ids uuid[] not null,
      created_at timestamptz not null, edited_at timestamptz, position bigint not null, revision int not null,
      unique (post, position), unique (parent, position)`,
    indexes: ['(author)', '(post_author)'],
  },
  counts: { columns: 'post uuid primary key, comments int not null' },
  replies: { columns: 'comment uuid primary key, replies int not null' },
  gone: { columns: 'id uuid primary key' },
  changes: changesTable,
} as const
