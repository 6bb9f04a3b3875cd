/** Comments and replies, how many a post and a comment have, and what is gone for ever: posts, comments and accounts. */
export const tables = {
  comments: {
    columns: `
      id uuid primary key, post uuid not null, post_author uuid not null, parent uuid, author uuid not null, text text, mention_ids uuid[] not null,
      created_at timestamptz not null, edited_at timestamptz, position bigint not null, revision int not null`,
    indexes: [
      '(post, position) where parent is null',
      '(parent, position) where parent is not null',
      '(post)',
      '(author)',
      '(post_author)',
    ],
  },
  counts: { columns: 'post uuid primary key, comments int not null' },
  replies: { columns: 'comment uuid primary key, replies int not null' },
  gone: { columns: 'id uuid primary key' },
} as const
