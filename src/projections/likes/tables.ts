import { changesTable } from '../../kernel/projecting/kept.ts'

/**
 * Who likes what, its counter, and what is gone for ever: posts, comments and accounts. By actor first: what an account likes of a page stands side by side. By
 * subject they are found while a rebuild still fills, so that index is a constraint.
 */
export const tables = {
  likes: {
    columns: `
      subject uuid not null, actor uuid not null, kind text not null, post uuid not null, author uuid not null,
      at timestamptz not null, position bigint not null, primary key (actor, subject), unique (subject, position)`,
    indexes: ['(actor, position)', '(author)'],
  },
  counts: { columns: 'subject uuid primary key, likes int not null' },
  gone: { columns: 'id uuid primary key' },
  changes: changesTable,
} as const
