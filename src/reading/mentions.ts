import { mentionsOf } from '../domain/posts/content.ts'
import type { AccountId } from '../kernel/ids.ts'
import { query, sql } from '../kernel/sql.ts'
import { accountsModel } from '../projections/accounts/project.ts'
import { relationshipsModel } from '../projections/relationships/project.ts'
import type { Reading } from './context.ts'

const { accounts } = accountsModel.t
const { blocks } = relationshipsModel.t

const mentionable = query<{ names: readonly string[]; authorId: AccountId }, { id: AccountId }>(
  p => sql`
    select a.id from unnest(${p.names}::text[]) with ordinality as said(name, n) join ${accounts} a on a.username = said.name
    where not exists (select from ${blocks} where (blocker, blocked) in ((a.id, ${p.authorId}::uuid), (${p.authorId}::uuid, a.id)))
    order by n`,
)

/** The accounts that the @names of a text stand for, in their order. A name of nobody, or of somebody with a block between them, mentions nobody. */
export async function mentionedIn(reading: Reading, authorId: AccountId, text: string | null): Promise<AccountId[]> {
  const names = mentionsOf(text)
  if (names.length === 0) return []
  return (await mentionable(reading.db, { names, authorId })).map(({ id }) => id)
}
