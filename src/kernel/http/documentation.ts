import type { Hono } from 'hono'
import { describe } from './describe.ts'
import { docsPage } from './docs.ts'
import { type HttpEnv, routes } from './env.ts'
import { openApiDocument } from './openapi.ts'

/** `/openapi.json` and `/docs` of all routes of the app, both made at the first request. To be mounted at its root. */
export function documentation(app: Hono<HttpEnv>, about: { version: string; publicUrl?: string }) {
  let made: Promise<{ json: string; page: ReturnType<typeof docsPage> }> | undefined
  const make = () =>
    (made ??= openApiDocument(app, about).then(document => ({ json: JSON.stringify(document), page: docsPage(document) })))
  const answers = (type: string) => ({ tag: 'Operations', auth: 'none', responses: { 200: { type } } }) as const
  return routes()
    .get('/openapi.json', describe('This API as an OpenAPI 3.1 document', answers('application/json')), async c =>
      c.body((await make()).json, 200, { 'Content-Type': 'application/json' }),
    )
    .get('/docs', describe('This API as a page for people', answers('text/html')), async c => {
      const { html, headers } = (await make()).page
      return c.body(html, 200, headers)
    })
}
