import * as v from 'valibot'
import { type InputError, Problem } from '../problem.ts'
import { pointerPart } from './json.ts'
import { membersOf } from './schema.ts'

const mostErrors = 100

/**
 * The value in the schema's form.
 * @throws Problem 422 `validation_failed` with the place (`at` before it) of each error; what was sent is never repeated
 */
export function parse<S extends v.GenericSchema>(schema: S, value: unknown, at = ''): v.InferOutput<S> {
  const misplaced = arraysForObjects(schema, value, at)
  if (misplaced.length > 0) throw validationFailed(misplaced.slice(0, mostErrors))
  const result = v.safeParse(schema, value, { message: wording })
  if (result.success) return result.output
  const errors = result.issues.flatMap(issue => errorsOf(issue, at)).slice(0, mostErrors)
  // Two checks of one value may say the same.
  const told = new Map(errors.map(error => [`${error.path} ${error.message}`, error]))
  throw validationFailed([...told.values()])
}

export function validationFailed(errors: readonly InputError[]): Problem {
  const [{ path, message } = { path: '', message: 'is not valid' }] = errors
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  return new Problem('validation_failed', `${path === '' ? 'The body' : `${path}:`} ${message}${more}`, { errors })
}

/** Where a list stands for an object: valibot takes one as an object without members. */
function arraysForObjects(schema: v.GenericSchema, value: unknown, path: string): InputError[] {
  if (typeof value !== 'object' || value === null) return []
  if (schema.type === 'array') {
    const [item] = membersOf(schema, 'item')
    return item && Array.isArray(value) ? value.flatMap((each, i) => arraysForObjects(item[1], each, `${path}/${i}`)) : []
  }
  if (schema.type === 'union' || schema.type === 'variant') {
    const found = membersOf(schema, 'options').map(([, option]) => arraysForObjects(option, value, path))
    return found.every(errors => errors.length > 0) ? (found[0] ?? []) : []
  }
  if (schema.type === 'record' || 'entries' in schema) {
    if (Array.isArray(value)) return [{ path, message: 'must be an object' }]
    return membersOf(schema, 'entries').flatMap(([key, entry]) =>
      Object.hasOwn(value, key) ? arraysForObjects(entry, Reflect.get(value, key), `${path}/${pointerPart(key)}`) : [],
    )
  }
  return membersOf(schema, 'wrapped').flatMap(([, wrapped]) => arraysForObjects(wrapped, value, path))
}

/** Where nothing of a union fits, what is wrong within the object that was meant. */
function errorsOf(issue: v.BaseIssue<unknown>, at: string): InputError[] {
  const path = at + pointerOf(issue)
  const inner = issue.type === 'union' && !Array.isArray(issue.input) ? (issue.issues ?? []) : []
  const within = inner.filter(each => each.path !== undefined).flatMap(each => errorsOf(each, path))
  return within.length > 0 ? within : [{ path, message: issue.message }]
}

const pointerOf = (issue: v.BaseIssue<unknown>): string => (issue.path ?? []).map(item => `/${pointerPart(item.key)}`).join('')

/** Valibot's own messages repeat the value that was sent, which may be a password; these say what the schema wants. */
function wording(issue: v.BaseIssue<unknown>): string {
  const wanted = issue.requirement
  const size = Array.isArray(issue.input) ? 'entries' : 'characters'
  if (issue.kind === 'schema') return schemaWording(issue)
  switch (issue.type) {
    case 'min_length':
    case 'min_graphemes':
    case 'min_code_points':
      return `must have at least ${wanted} ${size}`
    case 'max_length':
    case 'max_graphemes':
    case 'max_code_points':
      return `must not have more than ${wanted} ${size}`
    case 'length':
      return `must have ${wanted} ${size}`
    case 'non_empty':
      return 'must not be empty'
    case 'min_value':
      return `must be at least ${wanted}`
    case 'max_value':
      return `must be at most ${wanted}`
    case 'integer':
    case 'safe_integer':
      return 'must be a whole number'
    case 'uuid':
      return 'must be an id'
    case 'email':
    case 'rfc_email':
      return 'must be an email address'
    case 'url':
      return 'must be a URL'
    case 'iso_timestamp':
      return 'must be a time, as 2026-05-04T09:30:00Z'
    case 'iso_date':
      return 'must be a date, as 2026-05-04'
    default:
      return 'has not the right form'
  }
}

function schemaWording({ type, expected, path, received }: v.BaseIssue<unknown>): string {
  const missing = received === 'undefined'
  switch (type) {
    case 'strict_object':
    case 'object':
    case 'loose_object':
    case 'object_with_rest':
    case 'variant':
      if (expected === 'never') return 'is not known here'
      if (path?.at(-1)?.origin === 'key' || missing) return 'is required'
      return expected === 'Object' || expected === null ? 'must be an object' : `must be ${choice(expected)}`
    case 'string':
      return missing ? 'is required' : 'must be text'
    case 'number':
      return missing ? 'is required' : 'must be a number'
    case 'boolean':
      return missing ? 'is required' : 'must be true or false'
    case 'array':
      return missing ? 'is required' : 'must be a list'
    case 'record':
      return missing ? 'is required' : 'must be an object'
    default:
      return missing ? 'is required' : expected === null ? 'is not valid' : `must be ${choice(expected)}`
  }
}

const kinds: Record<string, string> = {
  Object: 'an object',
  Array: 'a list',
  string: 'text',
  number: 'a number',
  boolean: 'true or false',
}

/** What a schema expects, `("a" | "b" | Object)`, in words. */
const choice = (expected: string): string =>
  expected
    .replaceAll(/[()]/g, '')
    .split(' | ')
    .map(each => kinds[each] ?? each)
    .join(' or ')
