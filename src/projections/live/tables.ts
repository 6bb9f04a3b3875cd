/** The live journal; `head` gives out its seq, so that it stays without gaps when old rows are gone. */
export const tables = {
  journal: {
    columns: `
      seq bigint primary key,
      position bigint not null,
      at timestamptz not null,
      kind text not null,
      key text not null,
      type text not null,
      ids json not null`,
    indexes: ['(at)', "((kind || '.' || key), seq)"],
  },
  head: { columns: 'single boolean primary key, seq bigint not null, position bigint not null' },
} as const
