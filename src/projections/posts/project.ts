import { AccountErased } from '../../domain/accounts/account.ts'
import { PostDeleted, PostEdited, PostPublished } from '../../domain/posts/post.ts'
import type { EventOf, Recorded } from '../../kernel/events.ts'
import type { AccountId, PostId } from '../../kernel/ids.ts'
import { moveCounters, tally } from '../../kernel/projecting/counters.ts'
import { readModel } from '../../kernel/projecting/model.ts'
import type { Change } from '../../kernel/projecting/notes.ts'
import { rows } from '../../kernel/rows.ts'
import { sql } from '../../kernel/sql.ts'
import { postTables } from './tables.ts'

type Published = Recorded<EventOf<typeof PostPublished>>
type Edited = Recorded<EventOf<typeof PostEdited>>
type Seen = EventOf<typeof PostPublished | typeof PostEdited | typeof PostDeleted | typeof AccountErased>

/** Posts, their pictures in order, and how many an author's profile counts. */
export const postsModel = readModel<Seen>()({
  name: 'posts',
  version: 4,
  events: [PostPublished, PostEdited, PostDeleted, AccountErased],
  tables: postTables,
  changes: changesOf,

  /** What goes goes first; of the edits of a post the last one counts. */
  async project(batch, tx, t) {
    const { published, edited, deleted, erased } = fold(batch)
    const came: AccountId[] = []
    const went: AccountId[] = []
    if (deleted.length > 0 || erased.length > 0) {
      const gone = await tx.run<Counted>(sql`
        with erased as (
          insert into ${t.erased} (account) select unnest(${erased}::uuid[]) on conflict (account) do nothing
        ), gone as (
          delete from ${t.posts} where id = any(${deleted}::uuid[]) or author = any(${erased}::uuid[])
          returning id, author, ${counts('audience')} as counts
        ), pictures as (
          delete from ${t.media} m using gone where m.post = gone.id
        )
        select author, counts from gone`)
      for (const { author, counts } of gone) if (counts) went.push(author)
    }
    if (published.length > 0) {
      const come = await tx.run<Counted>(sql`
        with pictures as (
          insert into ${t.media} (post, ordinal, media, alt_text)
          select post, ordinal, media, alt_text from ${rows('picture', pictureColumns, published.flatMap(pictureRows))}
          where not exists (select from ${t.erased} e where e.account = picture.author)
          on conflict (post, ordinal) do nothing
        )
        insert into ${t.posts} (id, author, caption, hashtags, location, audience, audience_accounts, comments, mention_ids,
          created_at, position, revision)
        select id, author, caption, ${list('hashtags', 'text')}, location, audience, ${list('audience_accounts', 'uuid')}, comments,
          ${list('mention_ids', 'uuid')}, created_at, position, revision
        from ${rows('said', postColumns, published.map(publishedRow))}
        where not exists (select from ${t.erased} e where e.account = said.author)
        on conflict (id) do nothing returning author, ${counts('audience')} as counts`)
      for (const { author, counts } of come) if (counts) came.push(author)
    }
    if (edited.length > 0) {
      const changed = await tx.run<Counted & { counted: boolean }>(sql`
        with texts as (
          update ${t.media} m set alt_text = text.alt_text from ${rows('text', textColumns, edited.flatMap(textRows))}
          where m.post = text.post and m.ordinal = text.ordinal
        )
        update ${t.posts} p set caption = said.caption, hashtags = ${list('hashtags', 'text')}, location = said.location,
          audience = said.audience, audience_accounts = ${list('audience_accounts', 'uuid')}, comments = said.comments,
          mention_ids = ${list('mention_ids', 'uuid')}, edited_at = said.edited_at, revision = said.revision
        from ${rows('said', editColumns, edited.map(editedRow))} join ${t.posts} before on before.id = said.id
        where p.id = said.id
        returning p.author, ${counts('p.audience')} as counts, ${counts('before.audience')} as counted`)
      for (const { author, counts, counted } of changed) {
        if (counts && !counted) came.push(author)
        if (counted && !counts) went.push(author)
      }
    }
    await moveCounters(tx, t.counts, ['author', 'posts'], tally(came, went))
  },
})

/** Which posts an event may touch, and whose list of posts. */
function changesOf({ type, data, position }: Recorded<Seen>): Change[] {
  switch (type) {
    case 'PostPublished':
      return [{ key: data.authorId, owner: false, position }]
    case 'PostEdited':
      return [{ key: data.postId, owner: false, position }]
    case 'PostDeleted':
      return [data.postId, data.authorId].map(key => ({ key, owner: false, position }))
    case 'AccountErased':
      return [{ key: data.accountId, owner: true, position }]
  }
}

type Counted = { author: AccountId; counts: boolean }

/** Whether a profile counts the post. */
const counts = (audience: string) => sql<boolean>`${sql.ref(audience)} in ('public', 'followers')`

/** An edit holds the whole content, so only the last one counts. Of a post in the same batch too: that may have come before. */
function fold(batch: readonly Recorded<Seen>[]) {
  const published = new Map<PostId, Published>()
  const edited = new Map<PostId, Edited>()
  const deleted: PostId[] = []
  const erased: AccountId[] = []
  for (const event of batch) {
    switch (event.type) {
      case 'PostPublished':
        published.set(event.data.postId, event)
        break
      case 'PostEdited':
        edited.set(event.data.postId, event)
        break
      case 'PostDeleted':
        published.delete(event.data.postId)
        deleted.push(event.data.postId)
        break
      case 'AccountErased':
        erased.push(event.data.accountId)
        break
    }
  }
  return { published: [...published.values()], edited: [...edited.values()], deleted, erased }
}

const list = (column: string, type: 'text' | 'uuid') =>
  sql`array(select json_array_elements_text(said.${sql.id(column)})::${sql.raw(type)})`

const contentColumns = {
  caption: 'text',
  hashtags: 'json',
  location: 'json',
  audience: 'text',
  audience_accounts: 'json',
  comments: 'text',
  mention_ids: 'json',
  revision: 'int',
} as const
const editColumns = { id: 'uuid', ...contentColumns, edited_at: 'timestamptz' } as const
const postColumns = { id: 'uuid', ...contentColumns, author: 'uuid', created_at: 'timestamptz', position: 'bigint' } as const
const textColumns = { post: 'uuid', ordinal: 'int', alt_text: 'text' } as const
const pictureColumns = { ...textColumns, media: 'uuid', author: 'uuid' } as const

const contentRow = ({
  data: { postId, caption, hashtags, location, audience, comments, mentionIds },
  revision,
}: Published | Edited) => ({
  id: postId,
  caption,
  hashtags,
  location,
  audience: audience.kind,
  audience_accounts: audience.kind === 'accounts' ? audience.accountIds : null,
  comments,
  mention_ids: mentionIds,
  revision,
})

const editedRow = (event: Edited) => ({ ...contentRow(event), edited_at: event.at })

const publishedRow = (event: Published) => ({
  ...contentRow(event),
  author: event.data.authorId,
  created_at: event.at,
  position: event.position,
})

const pictureRows = ({ data: { postId, authorId, mediaIds, altTexts } }: Published) =>
  mediaIds.map((media, ordinal) => ({ post: postId, ordinal, media, author: authorId, alt_text: altTexts?.[ordinal] ?? null }))

/** None where the texts are gone with their author's key: the rows go with the erasure. */
const textRows = ({ data: { postId, altTexts } }: Edited) =>
  (altTexts ?? []).map((alt_text, ordinal) => ({ post: postId, ordinal, alt_text }))
