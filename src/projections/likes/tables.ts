/** Who likes what, its counter, and what is gone for ever: posts, comments and accounts. */
export const tables = {
  likes: {
    columns: `
      subject uuid not null, actor uuid not null, kind text not null, post uuid not null, author uuid not null,
      at timestamptz not null, position bigint not null, primary key (subject, actor)`,
    indexes: ['(subject, position)', '(actor, position)', '(author)'],
  },
  counts: { columns: 'subject uuid primary key, likes int not null' },
  gone: { columns: 'id uuid primary key' },
} as const
