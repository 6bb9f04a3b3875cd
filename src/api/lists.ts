import * as v from 'valibot'
import { Cursors } from '../kernel/cursor.ts'
import { json } from '../kernel/http/answer.ts'
import type { PageOf } from '../reading/page.ts'
import type { Ctx } from './env.ts'

/** Which page is read: at most `limit` items behind the position (null: from the beginning). */
export type PageRequest = { readonly limit: number; readonly after: number | null }

const Place = v.tuple([v.number()])

/**
 * Answers {items, nextCursor} with one page of a list that goes by positions.
 * @param list the list with all that it depends on (`followers of ${id}`): a cursor of one serves no other
 * @param asked the query, of `pageQuery`
 * @throws Problem 400 cursor_invalid
 */
export async function answerPage<Item>(
  c: Ctx,
  list: string,
  asked: { limit: number; cursor?: string | undefined },
  read: (page: PageRequest) => Promise<PageOf<Item>>,
): Promise<Response> {
  const cursors = new Cursors(c.get('reading').secrets)
  const after = cursors.read(list, Place, asked.cursor)?.[0] ?? null
  const { items, next } = await read({ limit: asked.limit, after })
  return json(c, { items, nextCursor: next === null ? null : cursors.write(list, [next]) })
}
