import { toJsonSchema } from '@valibot/to-json-schema'
import type { ResolverReturnType } from 'hono-openapi'
import * as v from 'valibot'

/** A schema as JSON Schema 2020-12, the dialect of OpenAPI 3.1. */
export type JsonSchema = Awaited<ReturnType<ResolverReturnType['toOpenAPISchema']>>['schema']

const models = new Map<string, v.GenericSchema>()
const modelNames = new WeakMap<v.GenericSchema, string>()

/** The schema with one example, in the form a client writes: `example(v.string(), 'ada')`. Examples of what holds it derive from it. */
export const example = <S extends v.GenericSchema>(schema: S, value: v.InferInput<S>) =>
  v.pipe(schema, v.examples<v.InferOutput<S>, readonly unknown[]>([value]))

/**
 * A schema with a name of its own in the document (`#/components/schemas/Post`). The example may be left out where all members have one.
 * @throws when another schema has that name
 */
export function model<S extends v.GenericSchema>(name: string, schema: S, value?: v.InferInput<S>) {
  if (models.has(name)) throw new Error(`There are two models named ${name}.`)
  const titled = v.pipe(
    schema,
    v.title<v.InferOutput<S>, string>(name),
    v.examples<v.InferOutput<S>, readonly unknown[]>(value === undefined ? [] : [value]),
  )
  models.set(name, titled)
  modelNames.set(titled, name)
  return titled
}

/** The form of a list's answer: `{items, nextCursor}`. */
export const listOf = <S extends v.GenericSchema>(item: S) =>
  v.object({ items: v.array(item), nextCursor: example(v.nullable(v.string()), null) })

/** A whole number in a query; `v.optional(queryInteger(1, 100), '20')` where it may be absent. */
export const queryInteger = (min: number, max: number) => {
  const message = `must be a whole number from ${min} to ${max}`
  return v.pipe(
    v.string(),
    v.metadata({ type: 'integer', minimum: min, maximum: max }),
    v.regex(/^-?\d{1,15}$/, message),
    v.transform(Number),
    v.minValue(min, message),
    v.maxValue(max, message),
  )
}

/** A list in a query, comma-separated: `?ids=a,b`. */
export const queryList = <S extends v.GenericSchema<string, unknown>>(item: S, max: number) =>
  v.pipe(
    v.string(),
    v.description(`Up to ${max}, separated by commas`),
    v.transform(text => text.split(',', max + 1)),
    v.maxLength(max, `must not have more than ${max} entries`),
    v.array(item),
  )

export const isSchema = (value: unknown): value is v.GenericSchema =>
  typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'schema'

const parts = ['wrapped', 'item', 'items', 'rest', 'key', 'value', 'options', 'pipe', 'entries'] as const

/** The schemas that stand in one part of a schema, with their keys. */
export function membersOf(schema: v.GenericSchema, part: (typeof parts)[number]): [string, v.GenericSchema][] {
  const found = member(schema, part)
  if (isSchema(found)) return [[part, found]]
  return typeof found === 'object' && found !== null
    ? Object.entries(found).filter((entry): entry is [string, v.GenericSchema] => isSchema(entry[1]))
    : []
}

/** The schema and every schema in it, each once. */
export function* schemasIn(schema: v.GenericSchema, seen = new Set<unknown>()): Generator<v.GenericSchema> {
  if (seen.has(schema)) return
  seen.add(schema)
  yield schema
  for (const part of parts) for (const [, child] of membersOf(schema, part)) yield* schemasIn(child, seen)
  const getter = member(schema, 'getter')
  const child: unknown = typeof getter === 'function' ? getter(undefined) : undefined
  if (isSchema(child)) yield* schemasIn(child, seen)
}

const member = (value: object, key: string): unknown => Reflect.get(value, key)

/** The schema as JSON Schema, and the models that it refers to by `#/components/schemas/<name>`. */
export function jsonSchema(schema: v.GenericSchema): { schema: JsonSchema; models: Record<string, JsonSchema> } {
  const definitions: Record<string, v.GenericSchema> = {}
  for (const part of schemasIn(schema)) {
    const name = modelNames.get(part)
    if (name !== undefined) definitions[name] = part
  }
  const { $schema, $defs, ...json } = toJsonSchema(schema, {
    target: 'draft-2020-12',
    typeMode: 'input',
    errorMode: 'ignore', // checks and transformations, which JSON Schema cannot say
    definitions,
    overrideRef: ({ referenceId }) => `#/components/schemas/${referenceId}`,
  })
  return {
    schema: plain(json),
    models: Object.fromEntries(Object.entries($defs ?? {}).map(([name, each]) => [name, plain(each)])),
  }
}

/** As it stands in the document: JSON, without empty lists of examples. */
export const plain = <T = JsonSchema>(schema: unknown): T =>
  JSON.parse(
    JSON.stringify(schema, (key, value: unknown) =>
      key === 'examples' && Array.isArray(value) && value.length === 0 ? undefined : value,
    ),
  )

const someId = '018f6e5a-7c1d-4b7e-9a51-3f0c2d9b8e14'

/** The schema's own example or one made of its members'; undefined where one is missing. */
export function exampleOf(schema: v.GenericSchema): unknown {
  const own = v.getExamples(schema).at(-1)
  if (own !== undefined) return own
  const examples = (part: (typeof parts)[number]) => membersOf(schema, part).map(([key, each]) => [key, exampleOf(each)] as const)
  switch (schema.type) {
    case 'object':
    case 'strict_object':
    case 'loose_object':
    case 'object_with_rest': {
      const entries = examples('entries')
      return entries.some(([, value]) => value === undefined) ? undefined : Object.fromEntries(entries)
    }
    case 'array': {
      const item = examples('item')[0]?.[1]
      return item === undefined ? undefined : [item]
    }
    case 'record': {
      const value = examples('value')[0]?.[1]
      return value === undefined ? undefined : { key: value }
    }
    case 'optional':
    case 'exact_optional':
    case 'nullable':
    case 'nullish':
      return examples('wrapped')[0]?.[1]
    case 'union':
    case 'variant':
      return examples('options').find(([, each]) => each !== undefined)?.[1]
    case 'intersect': {
      const all = examples('options').map(([, each]) => each)
      return all.includes(undefined) ? undefined : Object.assign({}, ...all)
    }
    case 'lazy':
      return [...schemasIn(schema)].slice(1, 2).map(exampleOf)[0]
    case 'picklist':
    case 'enum': {
      const options = member(schema, 'options')
      return Array.isArray(options) ? options[0] : undefined
    }
    case 'literal':
      return member(schema, 'literal')
    case 'null':
      return null
    case 'boolean':
      return false
    case 'number':
      return actions(schema).find(action => action.type === 'min_value')?.requirement ?? 0
    case 'string':
      return formats[actions(schema).find(action => action.type in formats)?.type ?? '']
    default:
      return undefined
  }
}

const formats: Record<string, string> = {
  uuid: someId,
  iso_timestamp: '2026-05-04T09:30:00.000Z',
  iso_date: '2026-05-04',
  email: 'ada@example.org',
  url: 'https://example.org/',
}

type Action = { type: string; requirement?: unknown }

/** The pipe's actions, those of pipes in it too. */
function actions(schema: v.GenericSchema): Action[] {
  const pipe: unknown = member(schema, 'pipe')
  if (!Array.isArray(pipe)) return []
  return pipe.flatMap((item: v.GenericSchema | Action): Action[] => (isSchema(item) ? actions(item) : [item]))
}
