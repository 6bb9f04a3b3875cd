import { hash } from 'node:crypto'
import type { Context } from 'hono'
import { invalid, Problem, refuse } from '../problem.ts'
import { carry, send } from './answer.ts'

/** The Idempotency-Key. @throws Problem 422 unless it is 1 to 255 visible ASCII characters */
export function idempotencyKey(c: Pick<Context, 'req'>): string | undefined {
  const key = c.req.header('idempotency-key')
  if (key !== undefined && !/^[!-~]{1,255}$/.test(key))
    throw invalid('/Idempotency-Key', 'must be 1 to 255 visible ASCII characters')
  return key
}

/** The request's consistency tokens, unread. @throws Problem 422 for more than 8 */
export function consistencyTokens(c: Pick<Context, 'req'>): string[] {
  const sent = c.req.header('consistency-token')
  if (sent === undefined) return []
  const tokens = sent.split(',').flatMap(token => token.trim() || [])
  if (tokens.length > 8) throw invalid('/Consistency-Token', 'must not hold more than 8 tokens')
  return [...new Set(tokens)]
}

/** For answers that hold a secret. */
export const noStore = (c: Parameters<typeof carry>[0]): void => carry(c, { 'Cache-Control': 'no-store' })

/**
 * Answers with the JSON and its ETag `"<revision>.<hash>"`, or 304 without a body where If-None-Match has it. The hash is of the body,
 * for that also changes without a new revision (counts, what the viewer did, pictures' URLs).
 */
export function withEtag(
  c: Pick<Context, 'req'> & Parameters<typeof send>[0],
  body: unknown,
  revision: number,
  status: 200 | 201 = 200,
): Response {
  const json = JSON.stringify(body)
  const etag = `"${revision}.${hash('sha256', json, 'base64url').slice(0, 16)}"`
  const known = c.req.method === 'GET' || c.req.method === 'HEAD' ? c.req.header('if-none-match') : undefined
  if (known !== undefined && (known.trim() === '*' || known.match(etagForm)?.includes(etag)))
    return send(c, null, 304, { ETag: etag })
  return send(c, json, status, { 'Content-Type': 'application/json', ETag: etag })
}

const etagForm = /"[!#-~\u0080-\u00ff]*"/g

/**
 * The revision that If-Match expects, for the command to compare; undefined without one and for `*`, which any revision fulfils. The hash
 * is not compared: a like must not hinder an edit.
 * @throws Problem 400 for what is no single ETag, 412 for one that is not of this house
 */
export function ifMatch(c: Pick<Context, 'req'>): number | undefined {
  const sent = c.req.header('if-match')?.trim()
  if (sent === undefined || sent === '*') return undefined
  const [, tag] = /^(?:W\/)?"([^",]*)"$/.exec(sent) ?? refuse('malformed', 'If-Match takes one ETag, as an answer gave it, or *.')
  const revision = /^(\d{1,15})\.[\w-]+$/.exec(tag ?? '')?.[1]
  if (revision === undefined) throw new Problem('version_conflict', 'This ETag was never given by this server.')
  return Number(revision)
}
