import type { RenditionSize } from '../../domain/media/media.ts'
import type { AccountId, MediaId, PostId } from '../../kernel/ids.ts'
import { grouped, sql } from '../../kernel/sql.ts'
import { mediaModel } from '../media/project.ts'
import { postsModel } from './project.ts'
import type { PostRow } from './tables.ts'

const { posts, media: pictures } = postsModel.t
const { media } = mediaModel.t

/** A picture of a post; `width` is null where the media model is behind the posts'. */
export type PostPicture = {
  id: MediaId
  altText: string | null
  width: number | null
  height: number
  blurhash: string | null
  renditions: RenditionSize[]
}

export type PostContent = PostRow & { media: PostPicture[] }

/** Posts by id, in no order, with their pictures. Asks no rules. */
export const postContents = grouped<{ ids: readonly PostId[] }, PostContent>(
  { ids: 'uuid[]' },
  p => sql`
    select p.id, p.author, p.caption, p.hashtags, p.location, p.audience, p.audience_accounts, p.comments, p.mention_ids, p.created_at,
      p.edited_at, p.position, p.revision,
      (select json_agg(json_build_object('id', s.media, 'altText', s.alt_text, 'width', m.width, 'height', m.height,
                                         'blurhash', m.blurhash, 'renditions', m.renditions) order by s.ordinal)
       from ${pictures} s left join ${media} m on m.id = s.media where s.post = p.id) as media
    from ${posts} p where p.id = any(${p.ids})`,
)

/** An author's posts, newest first, behind a position. Asks no rules. */
export const postKeysOf = grouped<{ authorId: AccountId; after: number | null; limit: number }, { id: PostId; position: number }>(
  { authorId: 'uuid', after: 'bigint', limit: 'limit' },
  p => sql`
    select id, position from ${posts} where author = ${p.authorId}::uuid and position < coalesce(${p.after}::bigint, 9223372036854775807)
    order by position desc limit ${p.limit}::int`,
)
