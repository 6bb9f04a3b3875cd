import type { RenditionSize } from '../../domain/media/media.ts'
import type { AccountId, MediaId, PostId } from '../../kernel/ids.ts'

/** One picture that is neither discarded nor of an erased account. `post`: to which it was given, be it there or still to come. */
export type MediaRow = {
  id: MediaId
  owner: AccountId
  kind: 'image'
  width: number
  height: number
  blurhash: string | null
  renditions: RenditionSize[]
  post: PostId | null
  is_avatar: boolean
  status: 'ready'
  created_at: string
  position: number
  revision: number
}

export const mediaTables = {
  media: {
    columns: `
      id uuid primary key,
      owner uuid not null,
      kind text not null,
      width int not null,
      height int not null,
      blurhash text,
      renditions json not null,
      post uuid,
      is_avatar boolean not null,
      status text not null,
      created_at timestamptz not null,
      position bigint not null,
      revision int not null`,
    indexes: ['(owner)'],
  },
  /** A picture that was under way when its owner was erased must not come to be. */
  erased: { columns: 'account uuid primary key' },
} as const
