import { AccountErased } from '../../domain/accounts/account.ts'
import { MediaAttached, MediaDiscarded, MediaUploaded, type MediaUse } from '../../domain/media/media.ts'
import type { EventOf, Recorded } from '../../kernel/events.ts'
import type { AccountId, MediaId } from '../../kernel/ids.ts'
import { readModel } from '../../kernel/projecting/model.ts'
import { rows } from '../../kernel/rows.ts'
import { sql } from '../../kernel/sql.ts'
import { mediaTables } from './tables.ts'

type Seen = EventOf<typeof MediaUploaded | typeof MediaAttached | typeof MediaDiscarded | typeof AccountErased>
type Upload = Recorded<EventOf<typeof MediaUploaded>>
type Attachment = { mediaId: MediaId; use: MediaUse; revision: number }

/** Uploaded pictures: whose they are, their sizes, and where they stand. */
export const mediaModel = readModel<Seen>()({
  name: 'media',
  version: 1,
  events: [MediaUploaded, MediaAttached, MediaDiscarded, AccountErased],
  tables: mediaTables,

  /** Folded to one word a picture; what goes goes first. */
  async project(batch, tx, t) {
    const { uploads, attachments, discarded, erased } = fold(batch)
    if (discarded.length > 0 || erased.length > 0) {
      await tx.run(sql`
        with erased as (
          insert into ${t.erased} (account) select unnest(${erased}::uuid[]) on conflict (account) do nothing
        )
        delete from ${t.media} where id = any(${discarded}::uuid[]) or owner = any(${erased}::uuid[])`)
    }
    if (uploads.length > 0) {
      await tx.run(sql`
        insert into ${t.media} (id, owner, kind, width, height, blurhash, renditions, post, is_avatar, status, created_at, position, revision)
        select id, owner, kind, width, height, blurhash, renditions, null, false, 'ready', at, position, revision
        from ${rows('said', uploadColumns, uploads.map(uploadRow))}
        where not exists (select from ${t.erased} e where e.account = said.owner)
        on conflict (id) do nothing`)
    }
    if (attachments.length > 0) {
      await tx.run(sql`
        update ${t.media} m set post = said.post, is_avatar = said.post is null, revision = said.revision
        from ${rows('said', { id: 'uuid', post: 'uuid', revision: 'int' }, attachments.map(attachmentRow))}
        where m.id = said.id`)
    }
  },
})

function fold(batch: readonly Recorded<Seen>[]) {
  const uploads = new Map<MediaId, Upload>()
  const attachments = new Map<MediaId, Attachment>()
  const discarded: MediaId[] = []
  const erased: AccountId[] = []
  for (const event of batch) {
    switch (event.type) {
      case 'MediaUploaded':
        uploads.set(event.data.mediaId, event)
        break
      case 'MediaAttached':
        attachments.set(event.data.mediaId, { ...event.data, revision: event.revision })
        break
      case 'MediaDiscarded':
        uploads.delete(event.data.mediaId)
        discarded.push(event.data.mediaId)
        break
      case 'AccountErased':
        erased.push(event.data.accountId)
        break
    }
  }
  return { uploads: [...uploads.values()], attachments: [...attachments.values()], discarded, erased }
}

const uploadColumns = {
  id: 'uuid',
  owner: 'uuid',
  kind: 'text',
  width: 'int',
  height: 'int',
  blurhash: 'text',
  renditions: 'json',
  at: 'timestamptz',
  position: 'bigint',
  revision: 'int',
} as const

const uploadRow = ({ data: { mediaId, ownerId, ...data }, at, position, revision }: Upload) => ({
  ...data,
  id: mediaId,
  owner: ownerId,
  at,
  position,
  revision,
})

const attachmentRow = ({ mediaId, use, revision }: Attachment) => ({
  id: mediaId,
  post: use.kind === 'post' ? use.postId : null,
  revision,
})
