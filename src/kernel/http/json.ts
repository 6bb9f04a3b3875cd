import { invalid, Problem } from '../problem.ts'
import { cleanText } from './text.ts'

/** A JSON body's greatest size in bytes, how deep lists and objects may stand in each other, and how long a list may be. */
export const bodyLimit = 1024 * 1024
const depthLimit = 32
/** More than any schema takes: schemas look at every entry before they count them, and a full body of bad ones took half a second. */
const entriesLimit = 1_000

const decoder = new TextDecoder('utf-8', { fatal: true })

/**
 * The request's JSON value, its text normalised to NFC; undefined where the body is empty.
 * @throws Problem 400 for bytes that are no JSON in UTF-8, 413, 415, 422 for text that cannot be kept
 */
export async function readJson(request: Request): Promise<unknown> {
  const bytes = await readBytes(request, bodyLimit)
  if (bytes.length === 0) return undefined
  requireJson(request)
  let text: string
  try {
    text = decoder.decode(bytes)
  } catch (cause) {
    throw new Problem('malformed', 'The body is not UTF-8.', { cause })
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // The parser's own message quotes the body, which may hold a password.
    const { line, column } = whereJsonBreaks(text)
    throw new Problem('malformed', `The body is not JSON: line ${line}, column ${column}.`)
  }
  return clean(value, '', 0)
}

function requireJson({ headers }: Request): void {
  const [type = '', ...parameters] = (headers.get('content-type') ?? '')
    .toLowerCase()
    .split(';')
    .map(part => part.trim())
  const charset = parameters
    .find(parameter => parameter.startsWith('charset='))
    ?.slice(8)
    .replaceAll('"', '')
  if (!/^application\/(?:[\w.+-]+\+)?json$/.test(type))
    throw new Problem('unsupported_media_type', 'The body must be application/json.')
  if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8')
    throw new Problem('unsupported_media_type', 'The body must be in UTF-8.')
  if ((headers.get('content-encoding') ?? 'identity').toLowerCase() !== 'identity')
    throw new Problem('unsupported_media_type', 'The body must not be compressed.')
}

/**
 * The whole body, never more than `limit` bytes of it.
 * @param hold told of bytes before they are kept: of all that are declared, else of each part; throws where there is no room
 * @throws Problem 413 at once where the length is declared, else after `limit` bytes; 400 where the client went away
 */
export async function readBytes(request: Request, limit: number, hold?: (bytes: number) => void): Promise<Uint8Array> {
  const tooLarge = () =>
    new Problem('payload_too_large', `The body must not be larger than ${limit} bytes.`, { headers: { Connection: 'close' } })
  const declared = request.headers.get('content-length')
  if (declared !== null && Number(declared) > limit) throw tooLarge()
  if (declared === '0') return new Uint8Array()
  if (declared !== null) hold?.(Number(declared))
  try {
    if (declared !== null) {
      const bytes = new Uint8Array(await request.arrayBuffer())
      if (bytes.length > limit) throw tooLarge()
      return bytes
    }
    const chunks: Uint8Array[] = []
    let size = 0
    // Cancelling would cut the connection before the answer.
    for await (const chunk of request.body?.values({ preventCancel: true }) ?? []) {
      size += chunk.length
      if (size > limit) throw tooLarge()
      hold?.(chunk.length)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  } catch (cause) {
    if (cause instanceof Problem) throw cause
    throw new Problem('malformed', 'The body ended too early.', { cause })
  }
}

/** Walks a value of JSON.parse, in place: text to NFC; refuses what JSON can say and the house cannot keep. */
function clean(value: unknown, path: string, depth: number): unknown {
  if (typeof value === 'string') return cleanText(value, path)
  if (typeof value === 'number' && !Number.isFinite(value)) throw invalid(path, 'is too large a number')
  if (typeof value !== 'object' || value === null) return value
  if (depth === depthLimit) throw invalid(path, `stands more than ${depthLimit} deep`)
  if (Array.isArray(value) && value.length > entriesLimit) throw invalid(path, `must not have more than ${entriesLimit} entries`)
  if (Array.isArray(value)) for (let i = 0; i < value.length; i++) value[i] = clean(value[i], `${path}/${i}`, depth + 1)
  else cleanMembers(value, path, depth + 1)
  return value
}

function cleanMembers(value: object, path: string, depth: number): void {
  for (const [key, each] of Object.entries(value)) {
    const at = `${path}/${pointerPart(key)}`
    if (cleanText(key, at) !== key || key === '__proto__') throw invalid(at, 'is no name that is known here')
    const cleaned = clean(each, at, depth)
    if (cleaned !== each) Reflect.set(value, key, cleaned)
  }
}

/** One step of a JSON Pointer (RFC 6901). A client's own long names are cut. */
export const pointerPart = (key: unknown): string =>
  String(key).slice(0, 100).toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1')

const token =
  /[ \t\n\r]*(?:([{}[\],:])|("[ !#-[\]-\uffff]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[ !#-[\]-\uffff]*)*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)|$)/y

/** Line and column (from 1) of the first token with which the text stops being JSON. Only for text that JSON.parse refused. */
function whereJsonBreaks(text: string): { line: number; column: number } {
  const open: string[] = []
  let expects: 'value' | 'value or end' | 'name' | 'name or end' | 'colon' | 'comma' = 'value'
  let at = 0
  for (;;) {
    token.lastIndex = at
    const found = token.exec(text)
    if (found === null) break
    const [all, mark, string, scalar] = found
    const isValue = string !== undefined || scalar !== undefined
    const takesValue = expects.startsWith('value')
    if ((mark === '{' || mark === '[') && takesValue) {
      open.push(mark)
      expects = mark === '{' ? 'name or end' : 'value or end'
    } else if (isValue && takesValue) expects = 'comma'
    else if (string !== undefined && expects.startsWith('name')) expects = 'colon'
    else if (mark === ':' && expects === 'colon') expects = 'value'
    else if (mark === ',' && expects === 'comma' && open.length > 0) expects = open.at(-1) === '{' ? 'name' : 'value'
    else if (mark === '}' && open.at(-1) === '{' && (expects === 'comma' || expects === 'name or end')) {
      open.pop()
      expects = 'comma'
    } else if (mark === ']' && open.at(-1) === '[' && (expects === 'comma' || expects === 'value or end')) {
      open.pop()
      expects = 'comma'
    } else break
    at += all.length
  }
  while (' \t\n\r'.includes(text[at] ?? '.')) at++
  const before = text.slice(0, at).split('\n')
  return { line: before.length, column: before.at(-1)!.length + 1 }
}
