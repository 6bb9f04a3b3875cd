import { execFile } from 'node:child_process'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import manifest from '../package.json' with { type: 'json' }
import { readConfig, variables } from '../src/config.ts'
import { freshDatabase } from './support/database.ts'
import { standsApart } from './support/engines.ts'
import { type Nats, natsServer, startNats } from './support/nats.ts'
import { type S3, startS3 } from './support/s3.ts'
import { freePort, startServer } from './support/server.ts'
import { temporaryFolder } from './support/temporary.ts'
import { WireServer } from './support/wire-server.ts'

standsApart('the services of compose.yaml know no namespace: they run on a NATS and a stand-in for EventStoreDB of their own')

// No container is started here: images and networks are only read about. Our own services run as processes, by the image's own commands.

type Service = {
  image: string
  build?: string
  command?: string[]
  environment?: Record<string, string | number>
  secrets?: string[]
  networks: string[] | Record<string, unknown>
  depends_on?: Record<string, { condition: string }>
  volumes?: string[]
  healthcheck?: { test: string[] }
  restart?: string
  deploy?: { replicas: number }
}
type Compose = {
  services: Record<string, Service>
  networks: Record<string, { internal?: boolean }>
  volumes: Record<string, null>
  secrets: Record<string, { file: string }>
}

const root = fileURLToPath(new URL('../', import.meta.url))
const text = (name: string): Promise<string> => readFile(join(root, name), 'utf8')
const run = promisify(execFile)

/** As Compose fills in what the environment lacks: ${NAME:-default}. */
const withDefaults = (source: string): string => source.replace(/\$\{\w+:-([^}]*)\}/g, '$1')

const compose = parse(withDefaults(await text('compose.yaml')), { merge: true }) as Compose
const services = Object.entries(compose.services)
const ours = services.filter(([, { build }]) => build !== undefined)

/** The instructions of a Dockerfile in their order, without comments, lines joined. */
const instructions = (await text('Dockerfile'))
  .replace(/^#.*\n/gm, '')
  .replace(/\\\n\s*/g, '')
  .split('\n')
  .filter(line => line.trim() !== '')
  .map(line => {
    const [, name, rest] = /^\s*([A-Z]+) (.*)$/.exec(line)!
    return { name: name!, rest: rest! }
  })
const last = (name: string): string => instructions.findLast(one => one.name === name)!.rest
const imageEnvironment = Object.fromEntries(
  last('ENV')
    .split(' ')
    .map(pair => pair.split('=') as [string, string]),
)
const command = JSON.parse(last('CMD')) as string[]
const healthCheck = JSON.parse(/CMD (\[.*)$/.exec(last('HEALTHCHECK'))![1]!) as string[]

let secrets: string
beforeAll(async () => {
  secrets = await temporaryFolder()
  await run(process.execPath, ['deploy/secrets.mjs', secrets], { cwd: root })
})
afterAll(() => rm(secrets, { recursive: true, force: true }))

/** What a service finds in its environment, with secrets where they are here. */
function environmentOf({ environment = {} }: Service): Record<string, string> {
  const given = Object.entries({ ...imageEnvironment, ...environment })
  return Object.fromEntries(given.map(([name, value]) => [name, String(value).replace(/^\/run\/secrets\//, `${secrets}/`)]))
}

describe('compose.yaml', () => {
  it('pins every image to one version, in the Dockerfile too', () => {
    const from = instructions.filter(({ name }) => name === 'FROM').map(({ rest }) => rest.split(' ')[0]!)
    const images = [...services.map(([, { image }]) => image), ...from]
    for (const image of images) expect(image).toMatch(/:v?\d+\.\d+(\.\d+)?(-[a-z][a-z-]*)?$/)
    expect(from.length).toBeGreaterThan(1)
    expect(new Set(from)).toHaveProperty('size', 1)
    for (const [, { image }] of ours) expect(image).toBe(`darkroom:${manifest.version}`)
  })

  it('has the whole topology: every role, the api twice, and every part', () => {
    expect(ours.map(([name, { environment, deploy }]) => [name, environment?.ROLE, deploy?.replicas ?? 1])).toEqual([
      ['api', 'api', 2],
      ['projector', 'projector', 1],
      ['reactor', 'reactor', 1],
    ])
    expect(services.map(([name]) => name)).toEqual(
      expect.arrayContaining(['eventstore', 'postgres', 'nats', 's3', 'mail', 'proxy']),
    )
  })

  it('gives each of our services variables that are known, and all that it needs', () => {
    for (const [name, service] of ours) {
      const environment = environmentOf(service)
      expect(Object.keys(environment).filter(variable => !variables.includes(variable))).toEqual([])
      const config = readConfig(environment)
      expect(config).toMatchObject({ production: true, role: name, host: '0.0.0.0', publicUrl: 'https://localhost' })
      const { secret, opsToken, databaseUrl, eventStoreUrl, natsUrl, s3Url, smtp } = config
      for (const part of [secret, opsToken, databaseUrl, eventStoreUrl, natsUrl, s3Url, smtp]) expect(part).not.toBeNull()
      const hosts = [databaseUrl, eventStoreUrl, natsUrl, s3Url, smtp?.url].map(url => new URL(url!).hostname)
      for (const host of hosts) expect(Object.keys(service.depends_on!)).toContain(host === 's3' ? 'bucket' : host)
    }
  })

  it('mounts only secrets that deploy/secrets.mjs makes, each closed to the host’s other users, and every one it makes', async () => {
    expect((await stat(secrets)).mode & 0o777).toBe(0o700)
    const mounted = new Set(services.flatMap(([, service]) => service.secrets ?? []))
    expect([...mounted].sort()).toEqual(Object.keys(compose.secrets).sort())
    for (const { file } of Object.values(compose.secrets)) {
      expect(file).toMatch(/^\.\/secrets\/\w+$/)
      expect((await readFile(join(secrets, basename(file)), 'utf8')).length).toBeGreaterThan(20)
    }
    for (const [, service] of services) {
      const named = JSON.stringify([service.environment, service.command]).matchAll(/\/run\/secrets\/(\w+)/g)
      for (const [, secret] of named) expect(service.secrets).toContain(secret)
    }
    const again = run(process.execPath, ['deploy/secrets.mjs', secrets], { cwd: root })
    await expect(again).rejects.toThrow(/has secret, .* already: nothing was changed/)
  })

  it('the parts’ passwords fit our URLs', async () => {
    const read = async (name: string): Promise<string> => (await readFile(join(secrets, name), 'utf8')).trim()
    expect(new URL(await read('database_url')).password).toBe(await read('postgres_password'))
    expect(await read('nats_conf')).toContain(`password: "${new URL(await read('nats_url')).password}"`)
    const [identity] = JSON.parse(await read('s3_json')).identities
    const { username, password } = new URL(await read('s3_url'))
    expect(identity.credentials).toEqual([{ accessKey: username, secretKey: password }])
  })

  it('has health checks, restarts, and waits on what can become healthy', () => {
    for (const [name, { healthcheck, restart, build, depends_on = {} }] of services) {
      const job = name === 'bucket'
      expect([name, restart]).toEqual([name, job ? undefined : 'unless-stopped'])
      // Ours have the image's.
      expect([name, healthcheck !== undefined]).toEqual([name, !job && build === undefined])
      for (const [other, { condition }] of Object.entries(depends_on)) {
        expect(compose.services).toHaveProperty(other)
        expect(condition).toBe(other === 'bucket' ? 'service_completed_successfully' : 'service_healthy')
      }
    }
  })

  it('names only networks and volumes that it has; the log and the database are on the closed one alone', () => {
    for (const [, { networks, volumes = [] }] of services) {
      for (const network of Array.isArray(networks) ? networks : Object.keys(networks))
        expect(compose.networks).toHaveProperty(network)
      for (const volume of volumes) if (!volume.startsWith('./')) expect(compose.volumes).toHaveProperty(volume.split(':')[0]!)
    }
    expect(compose.networks.parts?.internal).toBe(true)
    for (const name of ['eventstore', 'postgres', 'nats']) expect(compose.services[name]?.networks).toEqual(['parts'])
  })

  it('trusts the proxy alone to say who asks', () => {
    const networks = compose.services.proxy?.networks as { edge: { ipv4_address: string } }
    for (const [, service] of ours)
      expect(readConfig(environmentOf(service)).trustedProxies).toEqual([networks.edge.ipv4_address])
  })
})

describe('the image', () => {
  it('runs as a user without rights, ends by a signal that the server knows, and copies what there is', async () => {
    expect(last('USER')).toBe('node')
    expect(last('STOPSIGNAL')).toBe('SIGTERM')
    expect(last('VOLUME')).toBe(imageEnvironment.DATA_DIR)
    expect(last('EXPOSE')).toBe(imageEnvironment.PORT)
    const allowed = (await text('.dockerignore')).match(/(?<=^!).+$/gm)!
    const copied = instructions
      .filter(({ name, rest }) => name === 'COPY' && !rest.startsWith('--from'))
      .flatMap(({ rest }) => rest.split(' ').slice(0, -1))
    for (const path of copied) {
      expect(allowed).toContain(path)
      await stat(join(root, path))
    }
  })

  describe.skipIf(natsServer === null)(natsServer === null ? 'as processes (nats-server)' : 'as processes', () => {
    let fresh: Awaited<ReturnType<typeof freshDatabase>>
    let nats: Nats
    let s3: S3
    let log: WireServer
    let parts: Record<string, string>
    let folder: string

    beforeAll(async () => {
      folder = await temporaryFolder()
      ;[fresh, nats, s3, log] = await Promise.all([freshDatabase(), startNats(), startS3(), WireServer.start()])
      const urls = { DATABASE_URL_FILE: fresh.url, NATS_URL_FILE: nats.url, S3_URL_FILE: `${s3.url}&plain=1` }
      parts = { EVENTSTORE_URL: `esdb://127.0.0.1:${log.port}?tls=false`, HOST: '127.0.0.1', DATA_DIR: folder, RATE_LIMIT: '' }
      for (const [name, url] of Object.entries(urls)) {
        parts[name] = join(folder, name)
        await writeFile(parts[name], url)
      }
    })
    afterAll(async () => {
      await Promise.all([nats.end(), s3.end(), log.close()])
      await fresh.drop()
      await rm(folder, { recursive: true, force: true })
    })

    /** The exit code of the image's health check beside a server on that port. */
    const health = async (PORT: string): Promise<number> => {
      expect(healthCheck[0]).toBe('node')
      const environment = { PATH: process.env.PATH, PORT }
      return run(process.execPath, healthCheck.slice(1), { env: environment }).then(
        () => 0,
        (error: { code: number }) => error.code,
      )
    }

    it('every service starts by its command, is healthy, ends on the image’s signal, and is healthy no more', {
      timeout: 60_000,
    }, async () => {
      expect(command.slice(0, 2)).toEqual(['node', 'start.mjs'])
      const authorization = `Bearer ${(await readFile(join(secrets, 'ops_token'), 'utf8')).trim()}`
      // Together: the api waits until a projector has filled its read models.
      const running = ours.map(async ([name, service]) => {
        const PORT = String(await freePort())
        expect([name, await health(PORT)]).toEqual([name, 1])
        const server = await startServer({ ...environmentOf(service), ...parts, PORT }, command[2])
        expect([name, await health(PORT)]).toEqual([name, 0])
        // In production only operators are told more, also on loopback.
        expect((await fetch(`${server.url}/metrics`)).status).toBe(404)
        expect((await fetch(`${server.url}/ops`, { headers: { authorization } })).status).toBe(200)
        return { name, server, PORT }
      })
      for (const { name, server, PORT } of await Promise.all(running)) {
        expect([name, await server.end(last('STOPSIGNAL') as NodeJS.Signals)]).toEqual([name, 0])
        expect([name, await health(PORT)]).toEqual([name, 1])
      }
    })
  })
})
