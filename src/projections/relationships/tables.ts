/** Edges between accounts, newest by `position`; counts of whoever has any; whom nothing may point to any more. */
export const tables = {
  follows: {
    columns: 'follower uuid, followee uuid, at timestamptz not null, position bigint not null, primary key (follower, followee)',
    indexes: ['(followee, position desc)', '(follower, position desc)'],
  },
  requests: {
    columns: 'follower uuid, followee uuid, at timestamptz not null, position bigint not null, primary key (follower, followee)',
    indexes: ['(followee, position desc)'],
  },
  blocks: {
    columns: 'blocker uuid, blocked uuid, at timestamptz not null, position bigint not null, primary key (blocker, blocked)',
    indexes: ['(blocker, position desc)', '(blocked)'],
  },
  close_friends: {
    columns: 'owner uuid, friend uuid, at timestamptz not null, position bigint not null, primary key (owner, friend)',
    indexes: ['(owner, position desc)', '(friend)'],
  },
  /** Without a row both are 0. */
  counts: { columns: 'account uuid primary key, followers int not null, following int not null' },
  /** A follow that was under way when its account was erased must not come to be. */
  erased: { columns: 'account uuid primary key' },
} as const
