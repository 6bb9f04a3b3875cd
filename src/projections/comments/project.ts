import { AccountErased } from '../../domain/accounts/account.ts'
import { type CommentAdded, type CommentEdited, type CommentEvent, commentEvents } from '../../domain/comments/comment.ts'
import { PostDeleted } from '../../domain/posts/post.ts'
import type { EventOf, Recorded } from '../../kernel/events.ts'
import { moveCounters, tally } from '../../kernel/projecting/counters.ts'
import { lastOf, readModel, type Tables } from '../../kernel/projecting/model.ts'
import { anyRow, type Change } from '../../kernel/projecting/notes.ts'
import { rows } from '../../kernel/rows.ts'
import { type Db, type RawBuilder, sql } from '../../kernel/sql.ts'
import { tables } from './tables.ts'

type Added = Recorded<EventOf<typeof CommentAdded>>
type Edited = Recorded<EventOf<typeof CommentEdited>>

type Seen = CommentEvent | EventOf<typeof PostDeleted | typeof AccountErased>
type Moved = { post: string; parent: string | null }

/** Comments and replies. With a top-level comment go its replies, with a post all of it, with an account what it wrote and what stands under its posts. */
export const commentsModel = readModel<Seen>()({
  name: 'comments',
  version: 3,
  events: [...commentEvents, PostDeleted, AccountErased],
  tables,
  changes: changesOf,

  async project(batch, tx, t) {
    const things: string[] = []
    const accounts: string[] = []
    const added: Added[] = []
    const edited: Edited[] = []
    for (const event of batch) {
      if (event.type === 'CommentAdded') added.push(event)
      else if (event.type === 'CommentEdited') edited.push(event)
      else if (event.type === 'CommentDeleted') things.push(event.data.commentId)
      else if (event.type === 'PostDeleted') things.push(event.data.postId)
      else accounts.push(event.data.accountId)
    }
    // What is gone stays gone, so it may go first: a comment that comes after it, or came before it in this batch, finds it noted.
    const went = [
      ...(await forget(things, ids => sql`id = any(${ids}) or post = any(${ids})`, tx, t)),
      ...(await forget(accounts, ids => sql`author = any(${ids}) or post_author = any(${ids})`, tx, t)),
    ]
    const came = await add(added, tx, t)
    await edit(edited, tx, t)
    const posts = tally(came.map(postOf), went.map(postOf))
    await moveCounters(tx, t.counts, ['post', 'comments'], posts)
    await moveCounters(tx, t.replies, ['comment', 'replies'], tally(came.flatMap(parentOf), went.flatMap(parentOf)))
    return { topics: [...posts.keys()].map(post => `post:${post}`) }
  },
})

/** Which comments and counters an event may touch. An account may have commented on anything. */
function changesOf({ type, data, position }: Recorded<Seen>): Change[] {
  const counters = (post: string, parent: string | null): Change[] =>
    [post, parent].flatMap(key => (key === null ? [] : { key, owner: false, position }))
  switch (type) {
    case 'CommentAdded':
      return counters(data.postId, data.parentId)
    case 'CommentEdited':
      return [{ key: data.commentId, owner: false, position }]
    case 'CommentDeleted':
      // Nothing stands under a reply.
      return [{ key: data.commentId, owner: data.parentId === null, position }, ...counters(data.postId, data.parentId)]
    case 'PostDeleted':
      return [{ key: data.postId, owner: true, position }]
    case 'AccountErased':
      return [{ key: anyRow, owner: false, position }]
  }
}

const postOf = ({ post }: Moved): string => post
const parentOf = ({ parent }: Moved): string[] => (parent === null ? [] : [parent])

type T = Tables<keyof typeof tables>

/** A reply comes only where its parent is: the parent may have gone with its author. */
async function add(added: readonly Added[], tx: Db, t: T): Promise<Moved[]> {
  if (added.length === 0) return []
  const said = rows(
    'said',
    {
      id: 'uuid',
      post: 'uuid',
      post_author: 'uuid',
      parent: 'uuid',
      author: 'uuid',
      text: 'text',
      mentions: 'json',
      at: 'timestamptz',
      position: 'bigint',
      revision: 'int',
    },
    added.map(({ data, at, position, revision }) => ({
      id: data.commentId,
      post: data.postId,
      post_author: data.postAuthorId,
      parent: data.parentId,
      author: data.authorId,
      text: data.text,
      mentions: data.mentionIds,
      at,
      position,
      revision,
    })),
  )
  const columns = sql`id, post, post_author, parent, author, text, mention_ids, created_at, position, revision`
  return tx.run(sql`
    with said as (
        select id, post, post_author, parent, author, text, array(select json_array_elements_text(mentions))::uuid[] as mention_ids,
          at as created_at, position, revision
        from ${said}
        where not exists (select from ${t.gone} g where g.id in (said.id, said.post, said.post_author, said.parent, said.author))),
      tops as (
        insert into ${t.comments} (${columns}) select ${columns} from said where parent is null
        on conflict (id) do nothing returning id, post, parent),
      replies as (
        insert into ${t.comments} (${columns}) select ${columns} from said
        where parent in (select id from tops union all select c.id from ${t.comments} c join said s on c.id = s.parent)
        on conflict (id) do nothing returning post, parent)
    select post, parent from tops union all select post, parent from replies`)
}

/** Only the last edit counts, and only if it is newer than the row: the batch may come again. */
async function edit(edited: readonly Edited[], tx: Db, t: T): Promise<void> {
  if (edited.length === 0) return
  const said = rows(
    'said',
    { id: 'uuid', text: 'text', mentions: 'json', at: 'timestamptz', revision: 'int' },
    lastOf(edited, ({ data }) => data.commentId).map(({ data, at, revision }) => ({
      id: data.commentId,
      text: data.text,
      mentions: data.mentionIds,
      at,
      revision,
    })),
  )
  await tx.run(sql`
    update ${t.comments} c
    set text = said.text, mention_ids = array(select json_array_elements_text(said.mentions))::uuid[], edited_at = said.at, revision = said.revision
    from ${said} where c.id = said.id and c.revision < said.revision`)
}

/** With what is found goes all that stands under it. */
async function forget(
  gone: readonly string[],
  where: (ids: RawBuilder<unknown>) => RawBuilder<unknown>,
  tx: Db,
  t: T,
): Promise<Moved[]> {
  if (gone.length === 0) return []
  const ids = sql`${sql.val(gone)}::uuid[]`
  return tx.run(sql`
    with noted as (insert into ${t.gone} (id) select unnest(${ids}) on conflict (id) do nothing),
      named as (select id from ${t.comments} where ${where(ids)}),
      doomed as (select id from named union select r.id from ${t.comments} r join named n on r.parent = n.id)
    delete from ${t.comments} c using doomed d where c.id = d.id
    returning c.post, c.parent`)
}
