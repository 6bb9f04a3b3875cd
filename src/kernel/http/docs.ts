import { createHash } from 'node:crypto'
import { problems } from '../problem.ts'
import type { Answer, Media, OpenApiDocument, Operation, Parameter } from './openapi.ts'

/** A page, and the Content-Security-Policy that it is served with: no script, one style sheet known by its hash, nothing from elsewhere. */
export type Page = { html: string; headers: Readonly<Record<string, string>> }

/** The document as one page for people, readable without internet. */
export function docsPage(document: OpenApiDocument): Page {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
  const groups = Map.groupBy(operations, ({ operation }) => operation.tags[0] ?? 'Other')
  const show = new Renderer(document)
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(document.info.title)} API</title>
<style>${style}</style></head><body>
<nav><h1>${escaped(document.info.title)} <small>${escaped(document.info.version)}</small></h1>
${[...groups].map(([tag, all]) => `<h2>${escaped(tag)}</h2><ul>${all.map(entry => show.link(entry)).join('')}</ul>`).join('\n')}
<h2>Reference</h2><ul><li><a href="#models">Models</a></li><li><a href="#problems">Problems</a></li><li><a href="/openapi.json">openapi.json</a></li></ul></nav>
<main>${document.info.description
    .split('\n\n')
    .map(text => `<p>${escaped(text)}</p>`)
    .join('')}
${[...groups].map(([tag, all]) => `<h2>${escaped(tag)}</h2>${all.map(entry => show.operation(entry)).join('\n')}`).join('\n')}
<h2 id="models">Models</h2>
${Object.entries(document.components.schemas)
  .map(([name, schema]) => `<section id="model-${escaped(name)}"><h3>${escaped(name)}</h3>${show.schema(schema)}</section>`)
  .join('\n')}
<h2 id="problems">Problems</h2><table><tr><th>code</th><th>status</th><th></th></tr>
${Object.entries(problems)
  .map(
    ([code, [status, title]]) =>
      `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${escaped(title)}</td></tr>`,
  )
  .join('\n')}
</table></main></body></html>`
  return {
    html,
    headers: {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': `default-src 'none'; style-src '${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    },
  }
}

type Entry = { path: string; method: string; operation: Operation }

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escaped = (text: string): string => text.replace(/[&<>"']/g, found => escapes[found] ?? found)
const json = (value: unknown): string => `<pre>${escaped(JSON.stringify(value, null, 2) ?? '')}</pre>`

class Renderer {
  readonly #document: OpenApiDocument

  constructor(document: OpenApiDocument) {
    this.#document = document
  }

  link({ path, method, operation }: Entry): string {
    return `<li><a href="#${escaped(operation.operationId)}"><b class="${escaped(method)}">${escaped(method)}</b> ${escaped(path)}</a></li>`
  }

  operation({ path, method, operation }: Entry): string {
    const { security = [] } = operation
    const auth = security.length === 0 ? 'no token' : security.length > 1 ? 'token optional' : 'access token'
    const body = Object.entries(operation.requestBody?.content ?? {})
    return `<section id="${escaped(operation.operationId)}">
<h3><b class="${escaped(method)}">${escaped(method)}</b> <code>${escaped(path)}</code> <small>${auth}</small></h3>
<p>${escaped(operation.summary)}</p>${operation.description === undefined ? '' : `<p>${escaped(operation.description)}</p>`}
${this.#parameters((operation.parameters ?? []).map(parameter => this.#resolve(parameter)))}
${body.map(([type, media]) => `<h4>Body <small>${escaped(type)}</small></h4>${this.#media(media)}`).join('')}
<h4>Answers</h4>${Object.entries(operation.responses)
      .map(([status, answer]) => this.#answer(status, answer))
      .join('')}
<details><summary>curl</summary><pre>${escaped(this.#curl({ path, method, operation }))}</pre></details></section>`
  }

  #parameters(parameters: Parameter[]): string {
    if (parameters.length === 0) return ''
    const rows = parameters.map(
      ({ name, in: place, required, description = '', schema }) =>
        `<tr><td><code>${escaped(name)}</code></td><td>${escaped(place)}${required ? ', required' : ''}</td><td>${this.#type(schema)} ${escaped(description)}</td></tr>`,
    )
    return `<h4>Parameters</h4><table>${rows.join('')}</table>`
  }

  #answer(status: string, { description, content = {} }: Answer): string {
    const problem = 'application/problem+json' in content
    const body = Object.entries(content).map(([type, media]) =>
      problem ? '' : `<small>${escaped(type)}</small>${this.#media(media)}`,
    )
    const text = problem ? escaped(description).replace(/`(\w+)`/g, '<a href="#$1"><code>$1</code></a>') : escaped(description)
    return `<p><b class="status">${escaped(status)}</b> ${text}</p>${body.join('')}`
  }

  #media({ schema, example }: Media): string {
    return `${this.schema(schema)}${example === undefined ? '' : json(example)}`
  }

  /** Members as a table, nested objects in their cell; models as links. */
  schema(schema: Schema): string {
    const { properties } = schema
    if (properties === undefined) return `<p>${this.#type(schema)} ${escaped(schema.description ?? '')}</p>`
    const rows = Object.entries(properties).map(([name, member]) => {
      const nested = [member, member.items, ...(member.anyOf ?? []), ...(member.oneOf ?? [])].find(
        each => each?.properties !== undefined,
      )
      const required = schema.required?.includes(name) ? '' : '?'
      return `<tr><td><code>${escaped(name)}${required}</code></td><td>${this.#type(member)} ${escaped(member.description ?? '')}${nested ? this.schema(nested) : ''}</td></tr>`
    })
    return `<table>${rows.join('')}</table>`
  }

  #type(schema: Schema): string {
    if (schema.$ref !== undefined) {
      const name = escaped(schema.$ref.split('/').at(-1) ?? '')
      return `<a href="#model-${name}">${name}</a>`
    }
    const options = schema.anyOf ?? schema.oneOf
    if (options !== undefined) return options.map(option => this.#type(option)).join(' | ')
    if (schema.const !== undefined) return escaped(JSON.stringify(schema.const))
    if (schema.enum !== undefined) return schema.enum.map(value => escaped(JSON.stringify(value))).join(' | ')
    if (schema.type === 'array') return `list of ${this.#type(schema.items ?? {})}`
    const limits = limitNames.flatMap(([key, text]) => (schema[key] === undefined ? [] : [`${text} ${String(schema[key])}`]))
    return escaped([schema.format ?? schema.type ?? 'any', ...limits].join(', '))
  }

  #resolve(parameter: Parameter | { $ref: string }): Parameter {
    return '$ref' in parameter ? this.#document.components.parameters[parameter.$ref.split('/').at(-1) ?? '']! : parameter
  }

  #curl({ path, method, operation }: Entry): string {
    const parameters = (operation.parameters ?? []).map(parameter => this.#resolve(parameter))
    const filled = parameters.reduce(
      (url, { in: place, name, example }) =>
        place === 'path' ? url.replace(`{${name}}`, encodeURIComponent(String(example ?? name))) : url,
      path,
    )
    const [type, media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? []
    const base = this.#document.servers[0]?.url ?? '/'
    return [
      `curl${method === 'get' ? '' : ` -X ${method.toUpperCase()}`} ${base === '/' ? 'http://localhost:3000' : base}${filled}`,
      ...((operation.security ?? []).length > 0 ? ['  -H "Authorization: Bearer $TOKEN"'] : []),
      ...(type === 'application/json'
        ? ["  -H 'Content-Type: application/json'", `  -d '${JSON.stringify(media?.example ?? {}).replaceAll("'", "'\\''")}'`]
        : type?.startsWith('multipart/')
          ? ['  -F file=@photo.jpg']
          : type === undefined
            ? []
            : [`  -H 'Content-Type: ${type.replace('*', 'jpeg')}' --data-binary @photo.jpg`]),
    ].join(' \\\n')
  }
}

/** What the page reads of a schema. */
type Schema = {
  $ref?: string
  type?: unknown
  format?: string
  description?: string
  properties?: Record<string, Schema>
  required?: readonly string[]
  items?: Schema
  anyOf?: Schema[]
  oneOf?: Schema[]
  enum?: unknown[]
  const?: unknown
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
}

const limitNames = [
  ['minimum', 'from'],
  ['maximum', 'to'],
  ['minLength', 'at least'],
  ['maxLength', 'at most'],
] as const

const style = `
:root{color-scheme:light dark;--line:#8884;--soft:#8881}
body{margin:0;font:15px/1.5 system-ui,sans-serif;display:grid;grid-template-columns:21rem minmax(0,1fr)}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1rem;box-sizing:border-box;border-right:1px solid var(--line);font-size:13px}
nav ul{list-style:none;padding:0;margin:0}nav a{color:inherit;text-decoration:none;overflow-wrap:anywhere}nav h1{font-size:1.2rem}nav h2{font-size:1rem;margin:1rem 0 .2rem}
main{padding:1rem 2rem;max-width:60rem}section{border-top:1px solid var(--line);padding:.5rem 0 1rem}:target{background:var(--soft)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;border-bottom:1px solid var(--line);padding:.15rem .5rem .15rem 0}
pre{background:var(--soft);padding:.6rem;overflow:auto;font-size:13px}small{color:#888;font-weight:normal}h4{margin:.8rem 0 .2rem}
b.get,b.post,b.put,b.patch,b.delete{font:bold 12px monospace;text-transform:uppercase}b.get{color:#1a7f37}b.post{color:#0969da}b.put,b.patch{color:#9a6700}b.delete{color:#cf222e}
@media(max-width:50rem){body{display:block}nav{position:static;height:auto}}`

const styleHash = `sha256-${createHash('sha256').update(style).digest('base64')}`
