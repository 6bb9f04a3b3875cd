import * as v from 'valibot'
import { example, queryInteger } from './http/schema.ts'
import { Problem } from './problem.ts'
import { mac, type Secrets, sameBytes } from './secrets.ts'

/** A place in a list: the values that the list is ordered by, of the last item of a page (as `[at, id]`). */
export type CursorKey = readonly (string | number | boolean | null)[]

/** The parameters of every list, to spread into `query({ ...pageQuery })`: `limit` (1 to 100, 20) and `cursor`. */
export const pageQuery = {
  limit: v.optional(queryInteger(1, 100), '20'),
  cursor: v.optional(
    example(v.pipe(v.string(), v.description('The nextCursor of the page before')), 'kqPFxyfhZWD9dXc0WyIyMDI2LTA1LTA0Il0'),
  ),
}

const macBytes = 12
const longest = 1024

/**
 * Keyset cursors: JSON in base64url behind a MAC that binds it to its list. `list` names the list with all that it depends on
 * (`posts of ${accountId}`), so that a cursor of one cannot be used on another.
 */
export class Cursors {
  readonly #secrets: Secrets

  constructor(secrets: Secrets) {
    this.#secrets = secrets
  }

  write(list: string, key: CursorKey): string {
    const json = JSON.stringify(key)
    return Buffer.concat([mac(this.#secrets.key('cursors'), `${list}\n${json}`, macBytes), Buffer.from(json)]).toString(
      'base64url',
    )
  }

  /**
   * The key behind which the page starts, in the schema's form; null without a cursor.
   * @throws Problem 400 cursor_invalid for one that this list did not give
   */
  read<S extends v.GenericSchema>(list: string, schema: S, cursor: string | undefined): v.InferOutput<S> | null {
    if (cursor === undefined) return null
    if (cursor.length > longest || !/^[\w-]+$/.test(cursor)) throw invalidCursor()
    const bytes = Buffer.from(cursor, 'base64url')
    const json = bytes.subarray(macBytes).toString()
    const given = bytes.subarray(0, macBytes)
    if (!this.#secrets.accepted('cursors').some(key => sameBytes(mac(key, `${list}\n${json}`, macBytes), given)))
      throw invalidCursor()
    const result = v.safeParse(schema, JSON.parse(json))
    if (!result.success) throw invalidCursor() // of an earlier release, which ordered this list in another way
    return result.output
  }

  /** A page of rows that were asked for with `limit + 1`: the one too many says that there is another page. */
  page<Row>(
    list: string,
    rows: readonly Row[],
    limit: number,
    keyOf: (row: Row) => CursorKey,
  ): { items: Row[]; nextCursor: string | null } {
    const items = rows.slice(0, limit)
    const last = items.at(-1)
    return { items, nextCursor: rows.length > limit && last !== undefined ? this.write(list, keyOf(last)) : null }
  }
}

const invalidCursor = () => new Problem('cursor_invalid', 'This cursor is not of this list: start again without one.')
