import { changesTable } from '../../kernel/projecting/notes.ts'

/**
 * Who likes what, its counter, and what is gone for ever: posts, comments and accounts. Lists go by the ids as text: were these indexes of the ids themselves,
 * Postgres, which plans for the usual post, might look one like up by reading all that a famous one has.
 */
export const tables = {
  likes: {
    columns: `
      subject uuid not null, actor uuid not null, kind text not null, post uuid not null, author uuid not null,
      at timestamptz not null, position bigint not null, primary key (subject, actor)`,
    indexes: ['((subject::text), position)', '((actor::text), position)', '(author)'],
  },
  counts: { columns: 'subject uuid primary key, likes int not null' },
  gone: { columns: 'id uuid primary key' },
  changes: changesTable,
} as const
