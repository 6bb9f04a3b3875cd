import '@hyperjump/json-schema/formats'
import {
  registerSchema,
  type SchemaObject,
  setShouldValidateFormat,
  unregisterSchema,
  validate,
} from '@hyperjump/json-schema/openapi-3-1'
import type { Hono } from 'hono'
import { uniqueSymbol } from 'hono-openapi'
import type { HttpEnv } from '../../src/kernel/http/env.ts'
import type { Media, OpenApiDocument } from '../../src/kernel/http/openapi.ts'

setShouldValidateFormat(true)

/**
 * What is wrong with a document and the app that it describes: routes without a description, JSON bodies without an example, examples that
 * are not of their schema's form, references to nothing, anything that OpenAPI 3.1 does not allow. Empty where all is well.
 */
export async function openApiFindings(app: Hono<HttpEnv>, document: OpenApiDocument): Promise<string[]> {
  return [...undescribed(app), ...(await structure(document)), ...danglingReferences(document), ...(await examples(document))]
}

/** Routes of the app, `METHOD /path`, that no `describe` stands before. */
function undescribed(app: Hono<HttpEnv>): string[] {
  const byRoute = Map.groupBy(
    app.routes.filter(({ method }) => method !== 'ALL'),
    ({ method, path }) => `${method} ${path}`,
  )
  return [...byRoute].flatMap(([route, handlers]) =>
    handlers.some(({ handler }) => isDescription(handler)) ? [] : [`${route} has no description`],
  )
}

function isDescription(handler: object): boolean {
  const found: unknown = Reflect.get(handler, uniqueSymbol)
  return (
    typeof found === 'object' &&
    found !== null &&
    'spec' in found &&
    typeof found.spec === 'object' &&
    found.spec !== null &&
    'summary' in found.spec
  )
}

/**
 * Where the document and the app disagree on who needs a token: every operation is asked without one, and without a body. Needs the
 * stores to be there; commands get no further than to their empty body.
 */
export async function authFindings(app: Hono<HttpEnv>, document: OpenApiDocument): Promise<string[]> {
  const findings: string[] = []
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, { security = [], parameters = [] }] of Object.entries(methods)) {
      const filled = parameters.reduce(
        (url, parameter) =>
          'name' in parameter && parameter.in === 'path' ? url.replace(`{${parameter.name}}`, String(parameter.example)) : url,
        path,
      )
      const { status, body } = await app.request(filled, { method: method.toUpperCase() })
      await body?.cancel()
      if (security.length === 1 && status !== 401)
        findings.push(`${method.toUpperCase()} ${path} is said to need a token, and answers ${status} without`)
      if (security.length !== 1 && status === 401)
        findings.push(`${method.toUpperCase()} ${path} is said to need no token, and answers 401`)
    }
  }
  return findings
}

async function structure(document: OpenApiDocument): Promise<string[]> {
  const output = await validate('https://spec.openapis.org/oas/3.1/schema-base', plain(document), 'BASIC')
  return output.valid
    ? []
    : (output.errors ?? []).map(error => `${error.instanceLocation} against ${error.absoluteKeywordLocation}`)
}

function danglingReferences(document: OpenApiDocument): string[] {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path]) => path!)
  return [...new Set(references)]
    .filter(path => path.split('/').reduce<unknown>(step, document) === undefined)
    .map(path => `${path} is not there`)
}

const step = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined

async function examples(document: OpenApiDocument): Promise<string[]> {
  const findings: string[] = []
  const models = `https://darkroom.example/models/${++count}`
  // The models are one schema that the others refer to.
  const referring = (schema: unknown): SchemaObject =>
    JSON.parse(
      JSON.stringify({ $schema: dialect, ...(schema as object) }).replaceAll('"#/components/schemas/', `"${models}#/$defs/`),
    )
  registerSchema(referring({ $defs: document.components.schemas }), models)
  try {
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        const contents: [string, Record<string, Media>][] = [
          ['body', operation.requestBody?.content ?? {}],
          ...Object.entries(operation.responses).map(([status, { content }]): [string, Record<string, Media>] => [
            status,
            content ?? {},
          ]),
        ]
        for (const [place, content] of contents) {
          for (const [type, media] of Object.entries(content).filter(([type]) => type.endsWith('json'))) {
            const name = `${method.toUpperCase()} ${path} ${place} (${type})`
            const values = media.examples
              ? Object.values(media.examples).map(each =>
                  'value' in each ? each.value : document.components.examples[each.$ref.split('/').at(-1)!]?.value,
                )
              : [media.example]
            for (const value of values) {
              if (value === undefined) findings.push(`${name} has no example`)
              else
                findings.push(
                  ...(await mismatch(referring(media.schema), value)).map(
                    place => `${name}: the example is not of its form at ${place || '#'}`,
                  ),
                )
            }
          }
        }
      }
    }
    return findings
  } finally {
    unregisterSchema(models)
  }
}

const dialect = 'https://json-schema.org/draft/2020-12/schema'
let count = 0

async function mismatch(schema: SchemaObject, value: unknown): Promise<string[]> {
  const uri = `https://darkroom.example/schemas/${++count}`
  registerSchema(schema, uri)
  try {
    const output = await validate(uri, plain(value), 'BASIC')
    return output.valid ? [] : (output.errors ?? []).map(error => `${error.instanceLocation} (${error.absoluteKeywordLocation})`)
  } finally {
    unregisterSchema(uri)
  }
}

const plain = (value: unknown) => JSON.parse(JSON.stringify(value)) as SchemaObject
