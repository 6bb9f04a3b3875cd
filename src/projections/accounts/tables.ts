import type { Table } from '../../kernel/projecting/model.ts'
import { changesTable } from '../../kernel/projecting/notes.ts'

/** `position` is that of the sign-up, `revision` that of the account's stream. An erased account has no row but its receipt's. */
export const tables = {
  accounts: {
    columns: `
      id uuid primary key,
      username text not null,
      display_name text,
      bio text,
      website text,
      pronouns text,
      gender text,
      birth_date date,
      city text,
      country text,
      type text not null,
      avatar_media_id uuid,
      created_at timestamptz not null,
      position bigint not null,
      revision int not null`,
    indexes: ['(username)'],
  },
  credentials: {
    columns: `
      account_id uuid primary key,
      username text not null,
      email text,
      email_key text,
      email_claimed_until timestamptz,
      password_hash text`,
    indexes: ['(username)', '(email_key)'],
  },
  erasures: {
    columns: `
      id uuid primary key,
      account_id uuid not null,
      requested_at timestamptz not null,
      completed_at timestamptz,
      media_removed int`,
  },
  changes: changesTable,
} as const satisfies Record<string, Table>
