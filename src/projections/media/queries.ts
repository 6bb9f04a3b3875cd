import type { AccountId, MediaId, PostId } from '../../kernel/ids.ts'
import { query, sql } from '../../kernel/sql.ts'
import { accountsModel } from '../accounts/project.ts'
import { postsModel } from '../posts/project.ts'
import { mediaModel } from './project.ts'
import type { MediaRow } from './tables.ts'

const { media } = mediaModel.t
const { accounts } = accountsModel.t

/** An owner's own media by id, in no order. */
export const mediaOf = query<{ ids: readonly MediaId[]; ownerId: AccountId }, MediaRow>(
  p => sql`
    select id, owner, kind, width, height, blurhash, renditions, post, is_avatar, status, created_at, position, revision
    from ${media} where id = any(${p.ids}::uuid[]) and owner = ${p.ownerId}::uuid`,
)

/** Where a picture stands: `shown` where its post is there, `viewer` where the viewer is. */
export const placeOf = query<
  { mediaId: MediaId; viewerId: AccountId | null },
  { owner: AccountId; post: PostId | null; shown: boolean; viewer: boolean }
>(
  p => sql`
    select m.owner, m.post,
      exists (select from ${postsModel.t.media} s where s.post = m.post and s.media = m.id) as shown,
      exists (select from ${accounts} a where a.id = ${p.viewerId}::uuid) as viewer
    from ${media} m where m.id = ${p.mediaId}::uuid`,
)

/** The account whose picture it is now. */
export const avatarOwner = query<{ mediaId: MediaId }, { owner: AccountId }>(
  p => sql`
    select m.owner from ${media} m join ${accounts} a on a.id = m.owner and a.avatar_media_id = m.id where m.id = ${p.mediaId}::uuid`,
)

/** Those of the media that have a row. */
export const mediaAmong = query<{ ids: readonly MediaId[] }, { id: MediaId }>(
  p => sql`select id from ${media} where id = any(${p.ids}::uuid[])`,
)
