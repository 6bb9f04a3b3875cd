import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { stopEmbeddedPostgres } from '../../src/adapters/postgres/embedded.ts'
import { freshDatabase } from '../support/database.ts'
import { standsApart } from '../support/engines.ts'
import { freePort, type ServerProcess, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary.ts'

standsApart('it is about the embedded default, and parts that are not there')

const patience = 60_000

/** A server that must not come up: its one line to the operator. */
async function refusedStart(environment: Record<string, string>): Promise<string> {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(process.execPath, ['start.mjs', 'src/main.ts'], {
    env: { PATH, HOME, LOG_LEVEL: 'warn', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', bytes => (output += bytes))
  child.stderr.on('data', bytes => (output += bytes))
  const [code] = await once(child, 'exit')
  expect(code, output).toBe(1)
  return output.trim()
}

describe('the server on its embedded default', () => {
  let dataDir: string
  let environment: Record<string, string>
  let server: ServerProcess | undefined
  let session: { accessToken: string }

  beforeAll(async () => {
    dataDir = await temporaryFolder()
    environment = { DATA_DIR: dataDir, PORT: String(await freePort()) }
  })
  afterAll(async () => {
    await server?.end('SIGKILL')
    await stopEmbeddedPostgres(dataDir)
    await rm(dataDir, { recursive: true, force: true })
  })

  const me = async (): Promise<{ username: string }> => {
    const response = await fetch(`${server!.url}/v1/me`, { headers: { Authorization: `Bearer ${session.accessToken}` } })
    expect(response.status).toBe(200)
    return (await response.json()) as { username: string }
  }

  it('sets itself up, says where it listens, and keeps what it is given through SIGTERM with sockets open', {
    timeout: patience,
  }, async () => {
    server = await startServer(environment)
    expect(server.output()).toContain(`listens on ${server.url}`)
    expect(server.output()).toContain(`${server.url}/docs`)
    const body = JSON.stringify({ username: 'ada', email: 'ada@example.org', password: 'a long and winding password' })
    const signedUp = await fetch(`${server.url}/v1/accounts`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body,
    })
    expect(signedUp.status).toBe(201)
    session = ((await signedUp.json()) as { session: typeof session }).session
    const headers = { Authorization: `Bearer ${session.accessToken}` }
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/live`, { headers })
    await once(socket, 'open')
    const stream = await fetch(`${server.url}/v1/live/events`, { headers })
    const closed = once(socket, 'close')
    const code = server.end('SIGTERM')
    expect((await closed)[0]).toBe(1012)
    await stream.text()
    expect(await code).toBe(0)
    expect(server.output()).not.toContain('"level":50')
    server = await startServer(environment)
    expect(await me()).toMatchObject({ username: 'ada' })
  })

  it('comes back after kill -9, adopting the Postgres that was left behind', { timeout: patience }, async () => {
    expect(await server!.end('SIGKILL')).toBe('SIGKILL')
    server = await startServer(environment)
    expect(await me()).toMatchObject({ username: 'ada' })
  })

  it('refuses a second server on its folder, and on its port, in one line', { timeout: patience }, async () => {
    const folder = await refusedStart({ ...environment, PORT: String(await freePort()) })
    expect(folder).toMatch(/^Process \d+ already uses the data folder .+: stop it, or set DATA_DIR to another folder$/)
    const other = await temporaryFolder()
    const port = await refusedStart({ DATA_DIR: other, PORT: environment.PORT! })
    expect(port).toMatch(/^Port \d+ on 127\.0\.0\.1 is in use: .+$/)
    await rm(other, { recursive: true, force: true })
  })

  it('ends cleanly on Ctrl-C: a signal to the whole group', { timeout: patience }, async () => {
    await server!.end('SIGTERM')
    const group = spawn(process.execPath, ['start.mjs', 'src/main.ts'], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, LOG_LEVEL: 'warn', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    let output = ''
    await new Promise<void>(resolve => {
      group.stdout.on('data', bytes => {
        output += bytes
        if (output.includes('listens on')) resolve()
      })
      group.stderr.on('data', bytes => (output += bytes))
    })
    const gone = once(group, 'exit')
    process.kill(-group.pid!, 'SIGINT')
    expect((await gone)[0]).toBe(0)
    expect(output).not.toContain('"level":50')
    server = await startServer(environment)
    expect(await me()).toMatchObject({ username: 'ada' })
  })
})

describe('a start that cannot succeed says in one line what to do', () => {
  const line = /^[A-Z][^\n]+$/
  const wrong: [string, Record<string, string>, RegExp][] = [
    ['a port that is none', { PORT: 'http' }, /^PORT is not usable: write a number/],
    ['an address of other machines', { HOST: '0.0.0.0' }, /ALLOW_DEV=1/],
    ['no secret in production', { NODE_ENV: 'production' }, /^SECRET is missing/],
    ['a short secret', { SECRET: 'short' }, /^SECRET is not usable: write at least 32/],
    ['a secret file that is not there', { SECRET_FILE: '/nonexistent/secret' }, /^SECRET_FILE/],
    ['no limits in production', { NODE_ENV: 'production', SECRET: 'x'.repeat(32), RATE_LIMIT: 'off' }, /^RATE_LIMIT=off/],
    ['a URL of another kind', { DATABASE_URL: 'mysql://localhost/x' }, /^DATABASE_URL is not usable/],
    ['a part that is not built', { KEYS_URL: 'https://localhost' }, /^KEYS_URL is set/],
    ['a store of pictures that is none', { S3_URL: 's3://bucket' }, /^S3_URL is not usable: write a URL that begins with https:/],
    ['a store of pictures in clear', { S3_URL: 'http://KEY:SECRET@s3.example/pictures' }, /^S3_URL is not encrypted: .*plain=1/],
    [
      'a store of pictures in clear in production',
      { NODE_ENV: 'production', SECRET: 'x'.repeat(32), S3_URL: 'http://KEY:SECRET@127.0.0.1/pictures' },
      /^S3_URL is not encrypted/,
    ],
    ['a NATS that is none', { NATS_URL: 'localhost:4222' }, /^NATS_URL is not usable: write URLs that begin with nats:\/\//],
    ['a role that is none', { ROLE: 'apo' }, /^ROLE is not usable: write api, projector, reactor or all/],
    [
      'a role without the others’ parts',
      { ROLE: 'api' },
      /^ROLE=api shares .*: set DATABASE_URL and NATS_URL too, or ROLE=all\.$/,
    ],
    [
      'a role without a bus',
      { ROLE: 'projector', DATABASE_URL: 'postgres://localhost/x' },
      /^ROLE=projector .*: set NATS_URL too, or ROLE=all\.$/,
    ],
    [
      'a mail server without a sender',
      { SMTP_URL: 'smtps://mail.example' },
      /^MAIL_FROM is missing: .*Photos <post@photos\.example>/,
    ],
    ['a sender that is none', { MAIL_FROM: 'Photos' }, /^MAIL_FROM is not usable: write Photos <post@photos\.example>/],
    [
      'a mail server that is none',
      { SMTP_URL: 'mail.example:25' },
      /^SMTP_URL is not usable: write a URL that begins with smtps:/,
    ],
    ['a proxy range that is none', { TRUSTED_PROXIES: 'everybody' }, /^TRUSTED_PROXIES/],
  ]
  for (const [what, environment, expected] of wrong) {
    it(what, { timeout: patience }, async () => {
      const folder = await temporaryFolder()
      const said = await refusedStart({ DATA_DIR: folder, ...environment })
      await stopEmbeddedPostgres(folder)
      await rm(folder, { recursive: true, force: true })
      expect(said).toMatch(line)
      expect(said).toMatch(expected)
    })
  }

  it('a database that does not answer', { timeout: patience }, async () => {
    const folder = await temporaryFolder()
    const said = await refusedStart({
      DATA_DIR: folder,
      DATABASE_URL: `postgres://nobody:secret-word@127.0.0.1:${await freePort()}/x`,
    })
    await rm(folder, { recursive: true, force: true })
    expect(said).toMatch(line)
    expect(said).toContain('DATABASE_URL')
    expect(said).not.toContain('secret-word')
  })

  it('a NATS that does not answer', { timeout: patience }, async () => {
    const folder = await temporaryFolder()
    const fresh = await freshDatabase()
    const said = await refusedStart({
      DATA_DIR: folder,
      DATABASE_URL: fresh.url,
      NATS_URL: `nats://somebody:secret-word@127.0.0.1:${await freePort()}`,
    })
    await fresh.drop()
    await rm(folder, { recursive: true, force: true })
    expect(said).toMatch(line)
    expect(said).toContain('NATS_URL')
    expect(said).not.toContain('secret-word')
  })

  it('a data folder that is a file', { timeout: patience }, async () => {
    const folder = await temporaryFolder()
    await writeFile(join(folder, 'data'), '')
    const said = await refusedStart({ DATA_DIR: join(folder, 'data') })
    await rm(folder, { recursive: true, force: true })
    expect(said).toMatch(line)
    expect(said).toContain('DATA_DIR')
  })

  it('a data folder of another version', { timeout: patience }, async () => {
    const folder = await temporaryFolder()
    await mkdir(join(folder, 'postgres'), { recursive: true })
    await writeFile(join(folder, 'postgres', 'PG_VERSION'), '12\n')
    const said = await refusedStart({ DATA_DIR: folder, PORT: String(await freePort()) })
    await rm(folder, { recursive: true, force: true })
    expect(said).toMatch(line)
  })

  it('a port that another program has', { timeout: patience }, async () => {
    const folder = await temporaryFolder()
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const said = await refusedStart({ DATA_DIR: folder, PORT: String((other.address() as { port: number }).port) })
    other.close()
    await stopEmbeddedPostgres(folder)
    await rm(folder, { recursive: true, force: true })
    expect(said).toMatch(/is in use/)
    expect(said).toMatch(line)
  })
})
