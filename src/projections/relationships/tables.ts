import { changesTable } from '../../kernel/projecting/notes.ts'

/**
 * Edges between accounts, newest by `position`; counts of whoever has any; whom nothing may point to any more. Lists go by the ids as text: were these indexes of
 * the ids themselves, Postgres, which plans for the usual account, might look one edge up by reading all that a famous one has.
 */
export const tables = {
  follows: {
    columns: 'follower uuid, followee uuid, at timestamptz not null, position bigint not null, primary key (follower, followee)',
    indexes: ['((followee::text), position)', '((follower::text), position)'],
  },
  requests: {
    columns: 'follower uuid, followee uuid, at timestamptz not null, position bigint not null, primary key (follower, followee)',
    indexes: ['((followee::text), position)'],
  },
  blocks: {
    columns: 'blocker uuid, blocked uuid, at timestamptz not null, position bigint not null, primary key (blocker, blocked)',
    indexes: ['((blocker::text), position)', '((blocked::text))'],
  },
  close_friends: {
    columns: 'owner uuid, friend uuid, at timestamptz not null, position bigint not null, primary key (owner, friend)',
    indexes: ['((owner::text), position)', '((friend::text))'],
  },
  /** Without a row both are 0. */
  counts: { columns: 'account uuid primary key, followers int not null, following int not null' },
  /** A follow that was under way when its account was erased must not come to be. */
  erased: { columns: 'account uuid primary key' },
  changes: changesTable,
} as const
