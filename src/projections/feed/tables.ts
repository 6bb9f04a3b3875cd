import { head } from '../../kernel/projecting/head.ts'
import type { Table } from '../../kernel/projecting/model.ts'

/**
 * A feed holds the posts of the accounts that its viewer has an edge to; who has posted has one to themselves. What stands ready in `entries` is every
 * fanned-out post from the viewer's floor on (without a row: all of them); older ones, and those that were never fanned out, are looked up by author.
 */
export const tables = {
  head,
  /** `fan_in`: the author has, or may have, posts that were not fanned out. Unique, so that it is there while a rebuild fills. */
  edges: {
    columns: `
      viewer uuid not null, author uuid not null, position bigint not null, fan_in boolean not null,
      primary key (viewer, author), unique (author, viewer) include (position)`,
    indexes: ['(viewer) include (author) where fan_in'],
  },
  posts: {
    columns: `
      position bigint primary key, post uuid not null unique, author uuid not null, fanned_out boolean not null,
      unique (author, position) include (post, fanned_out)`,
    indexes: ['(author, position) include (post) where not fanned_out'],
  },
  /** Where the fanned-out posts that are marks stand, also those that are gone: whoever deletes theirs must not unbind the feeds of who follows them. */
  marks: { columns: 'author uuid not null, position bigint not null, primary key (author, position)' },
  /** Whose fan-out was ever stopped, and whether it is now. */
  authors: { columns: 'author uuid primary key, stopped boolean not null' },
  entries: { columns: 'viewer uuid not null, position bigint not null, primary key (viewer, position)' },
  /** From where on all that is fanned out stands ready (null: from the beginning), and the newest marks that came, the oldest first. */
  floors: { columns: 'viewer uuid primary key, position bigint, marks bigint[] not null' },
  /** A follow or post that was under way when its account was erased must not come to be. */
  erased: { columns: 'account uuid primary key' },
} as const satisfies Record<string, Table>
