import type { Table } from '../../kernel/projecting/model.ts'
import { changesTable } from '../../kernel/projecting/notes.ts'

/** An ended session has no row. `erased` keeps one that was started just as its account was erased from ever getting one. */
export const tables = {
  sessions: {
    columns: `
      id uuid primary key,
      account_id uuid not null,
      device json,
      started_at timestamptz not null,
      refreshed_at timestamptz not null,
      confirmed_at timestamptz not null,
      expires_at timestamptz not null,
      position bigint not null,
      revision int not null`,
    indexes: ['(account_id, position)'],
  },
  erased: { columns: 'account_id uuid primary key' },
  changes: changesTable,
} as const satisfies Record<string, Table>
