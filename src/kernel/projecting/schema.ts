import type { Migration } from '../migrate.ts'

const kernel = `
create schema kernel;
create table kernel.meta (
  single boolean primary key default true check (single),
  epoch text not null,
  live_epoch text not null
);
-- One row a consumer of the log: its checkpoint, and the lease of the process that runs it. \`fence\` grows with every holder, so that one that
-- was frozen can write nothing any more.
create table kernel.consumers (
  key text primary key,
  checkpoint bigint not null,
  holder uuid,
  fence bigint not null default 0,
  lease_until timestamptz not null default '-infinity',
  state text not null default 'running' check (state in ('running', 'paused', 'waiting_for_upgrade')),
  error json,
  updated_at timestamptz not null default now()
);
-- One row a process that projects: all is dispatched up to \`position\`; \`pending\` are the consumers with work left.
create table kernel.runs (
  holder uuid primary key,
  position bigint not null,
  pending text[] not null,
  seen_at timestamptz not null default now()
);
-- Which versions of read models each process reads.
create table kernel.processes (holder uuid primary key, keys text[] not null, seen_until timestamptz not null);
create table kernel.rebuilds (
  key text primary key,
  holder uuid not null,
  position bigint not null,
  target bigint not null,
  events bigint not null default 0,
  started_at timestamptz not null default now(),
  lease_until timestamptz not null
);
-- What reactions have done, by the key that the provider is given too.
create table kernel.effects (key text primary key, at timestamptz not null default now());
create table kernel.outbox (
  id uuid primary key,
  key text not null unique,
  channel text not null,
  recipient text not null,
  subject text,
  text text not null,
  account_id uuid,
  at timestamptz not null
);
create table kernel.tickets (id text primary key, account_id uuid not null, session_id uuid not null, expires_at timestamptz not null, used_at timestamptz, stream boolean not null default false);
create table kernel.guesses (key varchar(255) primary key, points integer not null default 0, expire bigint)`

/** The kernel's own tables: state, not read models. */
export const kernelMigrations: readonly Migration[] = [
  { name: 'kernel', ddl: kernel },
  // Which consumers each process can run: while its row is fresh, it gets its share of them.
  { name: 'kernel_shares', ddl: `alter table kernel.runs add column wants text[] not null default '{}'` },
  // A consumer that was new to a log with events in it serves nobody before it has come so far; 0 once it was there.
  { name: 'kernel_filling', ddl: 'alter table kernel.consumers add column filling_until bigint not null default 0' },
  // When a mail is to be tried (again); null where nobody delivers it, or not any more.
  {
    name: 'kernel_outbox_delivery',
    ddl: `alter table kernel.outbox add column due timestamptz, add column tries integer not null default 0;
create index outbox_due on kernel.outbox (due) where due is not null`,
  },
  // The trace that a mail belongs to, where traces are made.
  { name: 'kernel_outbox_trace', ddl: 'alter table kernel.outbox add column traceparent text' },
  // What a rebuild needs to go on where another ended: what its tables were made for, whether their indexes stand, and where its own part of the way began.
  {
    name: 'kernel_resumed_rebuilds',
    ddl: `alter table kernel.rebuilds add column made_of text not null default '', add column indexed boolean not null default false,
  add column began bigint not null default 0`,
  },
]
