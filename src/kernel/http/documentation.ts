import type { Hono } from 'hono'
import * as v from 'valibot'
import { send } from './answer.ts'
import { describe } from './describe.ts'
import { docsPage } from './docs.ts'
import { type HttpEnv, routes } from './env.ts'
import { openApiDocument } from './openapi.ts'
import { example } from './schema.ts'

/** `/openapi.json` and `/docs` of all routes of the app, both made at the first request. To be mounted at its root. */
export function documentation(app: Hono<HttpEnv>, about: { version: string; publicUrl?: string }) {
  let made: Promise<{ json: string; page: ReturnType<typeof docsPage> }> | undefined
  const make = () =>
    (made ??= openApiDocument(app, about).then(document => ({ json: JSON.stringify(document), page: docsPage(document) })))
  const document = example(v.looseObject({ openapi: v.string() }), { openapi: '3.1.0' })
  return routes()
    .get(
      '/openapi.json',
      describe('This API as an OpenAPI 3.1 document', { tag: 'Operations', auth: 'none', responses: { 200: document } }),
      async c => send(c, (await make()).json, 200, { 'Content-Type': 'application/json' }),
    )
    .get(
      '/docs',
      describe('This API as a page for people', { tag: 'Operations', auth: 'none', responses: { 200: { type: 'text/html' } } }),
      async c => {
        const { html, headers } = (await make()).page
        return send(c, html, 200, headers)
      },
    )
}
