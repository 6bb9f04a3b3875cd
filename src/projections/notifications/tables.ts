import { head } from '../../kernel/projecting/head.ts'
import type { Table } from '../../kernel/projecting/model.ts'
import { changesTable } from '../../kernel/projecting/notes.ts'

/**
 * A notification and the acts that it tells of. An act that was taken back stays, inactive, so that the same one again tells nothing anew. Keys that only
 * serve to find rows are unique constraints where a rebuild needs them while it fills.
 */
export const tables = {
  head,
  /** `count`: of active acts. `first`: the position of the first act; `position` and `at`: of the last one that was told. */
  notifications: {
    columns: `
      id uuid primary key, account uuid not null, type text not null, post uuid, comment uuid,
      count int not null, first bigint not null, position bigint not null, at timestamptz not null,
      unique (account, position, id), unique (post, id), unique (comment, id)`,
  },
  acts: {
    columns: `
      notification uuid not null, actor uuid not null, position bigint not null, active boolean not null,
      primary key (actor, notification), unique (notification, position, actor)`,
  },
  /** With a top-level comment go its replies. */
  replies: { columns: 'reply uuid primary key, parent uuid not null, unique (parent, reply)' },
  seen: { columns: 'account uuid primary key, position bigint not null' },
  /** Posts, comments and accounts that nothing may be told of any more, whatever was under way. */
  gone: { columns: 'id uuid primary key' },
  changes: changesTable,
} as const satisfies Record<string, Table>
