import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import * as v from 'valibot'
import { isLoopback } from './kernel/loopback.ts'
import { type Sender, senderOf } from './kernel/ports/mail.ts'
import { StartupError } from './kernel/startup-error.ts'

const text = v.pipe(v.string(), v.trim(), v.minLength(1))
const list = v.pipe(
  v.string(),
  v.transform(value =>
    value
      .split(',')
      .map(part => part.trim())
      .filter(part => part !== ''),
  ),
)
const url = (...protocols: string[]) =>
  v.pipe(
    text,
    v.check(
      value => URL.canParse(value) && protocols.includes(new URL(value).protocol),
      `write a URL that begins with ${protocols.join('// or ')}//`,
    ),
  )

/** Several servers of one cluster, separated by commas. */
const urls = (...protocols: string[]) =>
  v.pipe(
    text,
    v.check(
      value => value.split(',').every(one => URL.canParse(one.trim()) && protocols.includes(new URL(one.trim()).protocol)),
      `write URLs that begin with ${protocols.join('// or ')}//, separated by commas`,
    ),
  )

const samplers = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const
const part = 'write a number from 0 to 1'

/** Every variable of the environment that the server reads. */
const Environment = v.object({
  /** `production` needs SECRET and hides what is for developers. */
  NODE_ENV: v.optional(text, 'development'),
  PORT: v.optional(
    v.pipe(
      text,
      v.regex(/^\d{1,5}$/, 'write a number from 0 to 65535'),
      v.transform(Number),
      v.maxValue(65_535, 'write a number from 0 to 65535'),
    ),
    '3000',
  ),
  HOST: v.optional(text, '127.0.0.1'),
  /** Where the embedded database, pictures and the secret of the default setup live. */
  DATA_DIR: v.optional(text, './data'),
  /** Where clients reach this deployment; pictures' URLs begin with it. By default http://HOST:PORT. */
  PUBLIC_URL: v.optional(url('http:', 'https:')),
  LOG_LEVEL: v.optional(
    v.picklist(['silent', 'error', 'warn', 'info', 'debug'], 'write silent, error, warn, info or debug'),
    'info',
  ),
  /** `off` for tests and load; refused in production. */
  RATE_LIMIT: v.optional(v.picklist(['on', 'off'], 'write on or off'), 'on'),
  /** All keys come from it, or from a root that is kept under it. Required in production; else made once in DATA_DIR. */
  SECRET: v.optional(v.pipe(text, v.minLength(32, 'write at least 32 characters, as from: openssl rand -base64 32'))),
  /** The one before: the root is taken over from it, and its tokens, cursors and pictures are still accepted. */
  SECRET_PREVIOUS: v.optional(v.pipe(text, v.minLength(32, 'write at least 32 characters'))),
  /** A PostgreSQL 16 or later with a UTF-8 database; without it the embedded one is used. */
  DATABASE_URL: v.optional(url('postgres:', 'postgresql:')),
  /** An EventStoreDB 23.10 or later, `esdb://…`, one host, several, or `esdb+discover://`; without it the log is in the database. */
  EVENTSTORE_URL: v.optional(
    v.pipe(text, v.regex(/^(esdb|kurrentdb|kdb)(\+discover)?:\/\/./, 'write a URL that begins with esdb://')),
  ),
  /** A NATS; without it live messages and positions reach other processes by polling only. */
  NATS_URL: v.optional(urls('nats:', 'tls:')),
  /** Where pictures are kept, S3 or what speaks its protocol: https://KEY:SECRET@host/bucket?region=…; without it a folder in DATA_DIR. */
  S3_URL: v.optional(url('https:', 'http:')),
  /** A mail server: smtps://user:password@host, or smtp://… with STARTTLS; without it mails stay in the outbox. */
  SMTP_URL: v.optional(url('smtps:', 'smtp:')),
  /** Who mails are from, an address or a name and an address; required with SMTP_URL. */
  MAIL_FROM: v.optional(
    v.pipe(
      text,
      v.check(value => senderOf(value) !== null, 'write Photos <post@photos.example>'),
    ),
  ),
  /** What this process does of the whole. */
  ROLE: v.optional(v.picklist(['all', 'api', 'projector', 'reactor'], 'write api, projector, reactor or all'), 'all'),
  /** Stands before every stream's name, subject and key of a picture, so that deployments can share one log, one NATS and one bucket. */
  NAMESPACE: v.optional(v.pipe(v.string(), v.regex(/^[a-z0-9]{0,32}$/, 'write up to 32 of a-z and 0-9')), ''),
  /** Origins of browsers' pages that may call the API, separated by commas. */
  CORS_ORIGINS: v.optional(list, ''),
  /** Addresses and ranges of proxies whose X-Forwarded-For is believed, separated by commas. */
  TRUSTED_PROXIES: v.optional(list, ''),
  /** `1` lets a server that is not in production listen on other than loopback addresses. */
  ALLOW_DEV: v.optional(v.picklist(['0', '1'], 'write 1 or 0'), '0'),
  /** A collector of traces, OTLP over HTTP; without it none are made. */
  OTEL_EXPORTER_OTLP_ENDPOINT: v.optional(url('https:', 'http:')),
  /** What the collector asks for, as name=value,name=value. */
  OTEL_EXPORTER_OTLP_HEADERS: v.optional(
    v.pipe(text, v.regex(/^[\w-]+ *=[^,=]*(,[^=,]+=[^,]*)*$/, 'write name=value, several separated by commas')),
  ),
  /** Which traces are told, and of which part of them. */
  OTEL_TRACES_SAMPLER: v.optional(
    v.picklist([...samplers], `write ${samplers.slice(0, -1).join(', ')} or ${samplers.at(-1)}`),
    'parentbased_always_on',
  ),
  OTEL_TRACES_SAMPLER_ARG: v.optional(v.pipe(text, v.transform(Number), v.minValue(0, part), v.maxValue(1, part)), '1'),
  /** Opens /metrics and /ops to operators outside loopback. */
  OPS_TOKEN: v.optional(v.pipe(text, v.minLength(16, 'write at least 16 characters'))),
})

/** Variables that hold a secret, as URLs with passwords do: each may stand in a file instead, which NAME_FILE names. */
const inFiles = [
  'SECRET',
  'SECRET_PREVIOUS',
  'DATABASE_URL',
  'EVENTSTORE_URL',
  'NATS_URL',
  'S3_URL',
  'SMTP_URL',
  'OTEL_EXPORTER_OTLP_HEADERS',
  'OPS_TOKEN',
] as const

/** The names of all variables that `readConfig` reads. */
export const variables: readonly string[] = [...Object.keys(Environment.entries), ...inFiles.map(name => `${name}_FILE`)]

/** Parts of the plan that this release does not have yet: naming one is a mistake that must not pass in silence. */
const notYet = ['KEYS_URL'] as const

export type Config = {
  readonly production: boolean
  readonly host: string
  readonly port: number
  readonly dataDir: string
  readonly publicUrl: string | null
  readonly logLevel: 'silent' | 'error' | 'warn' | 'info' | 'debug'
  readonly rateLimit: boolean
  /** Null: to be made once in the data folder. */
  readonly secret: string | null
  readonly secretPrevious: string | null
  /** Null: the embedded database. */
  readonly databaseUrl: string | null
  /** Null: the embedded log, in the database. */
  readonly eventStoreUrl: string | null
  /** Null: a bus within the process. */
  readonly natsUrl: string | null
  /** Null: a folder. */
  readonly s3Url: string | null
  /** Null: mails stay in the outbox. */
  readonly smtp: { readonly url: string; readonly from: Sender } | null
  /** Null: no traces. Told is a part of all, 0 to 1, and where `byParent` those of callers as these ask for. */
  readonly tracing: {
    readonly endpoint: string
    readonly headers: Readonly<Record<string, string>>
    readonly sampler: { readonly ratio: number; readonly byParent: boolean }
  } | null
  readonly role: 'all' | 'api' | 'projector' | 'reactor'
  readonly namespace: string
  /** Stands before every subject of the bus. */
  readonly subjectPrefix: string
  readonly corsOrigins: readonly string[]
  readonly trustedProxies: readonly string[]
  readonly opsToken: string | null
}

/**
 * The environment as one validated, frozen object.
 * @throws StartupError naming the variable, and what to write instead
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  // An empty variable is as good as none: compose files write them so.
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''))
  const given = { ...set, ...fromFiles(set) }
  for (const name of notYet)
    if (given[name] !== undefined) throw new StartupError(`${name} is set, but this release has no such part yet: unset it.`)
  const parsed = v.safeParse(Environment, given)
  if (!parsed.success) {
    const [issue] = parsed.issues
    const name = String(issue.path?.[0]?.key)
    const file = set[`${name}_FILE`]
    throw new StartupError(`${name}${file === undefined ? '' : ` in ${file}`} is not usable: ${issue.message}.`)
  }
  const env = parsed.output
  const production = env.NODE_ENV === 'production'
  if (production && env.SECRET === undefined)
    throw new StartupError('SECRET is missing: production needs one of at least 32 characters, as from: openssl rand -base64 32')
  if (env.ROLE !== 'all' && (env.DATABASE_URL === undefined || env.NATS_URL === undefined)) {
    const missing = ['DATABASE_URL', 'NATS_URL'].filter(name => given[name] === undefined).join(' and ')
    throw new StartupError(`ROLE=${env.ROLE} shares its work with other processes: set ${missing} too, or ROLE=all.`)
  }
  if (production && env.RATE_LIMIT === 'off')
    throw new StartupError('RATE_LIMIT=off is for tests and load: unset it in production.')
  if (!production && !isLoopback(env.HOST) && env.ALLOW_DEV !== '1') {
    throw new StartupError(
      `HOST ${env.HOST} can be reached from other machines: set NODE_ENV=production, or ALLOW_DEV=1 if you mean it.`,
    )
  }
  mustBeEncrypted(env.S3_URL, production)
  return Object.freeze({
    production,
    host: env.HOST,
    port: env.PORT,
    dataDir: resolve(env.DATA_DIR),
    publicUrl: env.PUBLIC_URL?.replace(/\/+$/, '') ?? null,
    logLevel: env.LOG_LEVEL,
    rateLimit: env.RATE_LIMIT === 'on',
    secret: env.SECRET ?? null,
    secretPrevious: env.SECRET_PREVIOUS ?? null,
    databaseUrl: env.DATABASE_URL ?? null,
    eventStoreUrl: env.EVENTSTORE_URL ?? null,
    natsUrl: env.NATS_URL ?? null,
    s3Url: env.S3_URL ?? null,
    smtp: smtpOf(env.SMTP_URL, env.MAIL_FROM),
    tracing: tracingOf(env),
    role: env.ROLE,
    subjectPrefix: env.NAMESPACE === '' ? '' : `${env.NAMESPACE}.`,
    namespace: env.NAMESPACE === '' ? '' : `${env.NAMESPACE}_`,
    corsOrigins: env.CORS_ORIGINS,
    trustedProxies: env.TRUSTED_PROXIES,
    opsToken: env.OPS_TOKEN ?? null,
  })
}

/** The store of pictures is told and tells what nobody else should hear. @throws StartupError */
function mustBeEncrypted(s3Url: string | undefined, production: boolean): void {
  const { protocol, hostname, searchParams } = new URL(s3Url ?? 'https://none')
  if (protocol === 'https:' || searchParams.get('plain') === '1' || (!production && isLoopback(hostname))) return
  throw new StartupError('S3_URL is not encrypted: write https://, or add plain=1 to it if nobody else can listen on the way.')
}

function tracingOf(env: v.InferOutput<typeof Environment>): Config['tracing'] {
  if (env.OTEL_EXPORTER_OTLP_ENDPOINT === undefined) return null
  const pairs = (env.OTEL_EXPORTER_OTLP_HEADERS ?? '').split(',').filter(pair => pair !== '')
  const kind = env.OTEL_TRACES_SAMPLER
  return {
    endpoint: env.OTEL_EXPORTER_OTLP_ENDPOINT,
    headers: Object.fromEntries(
      pairs.map(pair => [pair.slice(0, pair.indexOf('=')).trim(), decoded(pair.slice(pair.indexOf('=') + 1).trim())]),
    ),
    sampler: {
      ratio: kind.endsWith('always_off') ? 0 : kind.endsWith('always_on') ? 1 : env.OTEL_TRACES_SAMPLER_ARG,
      byParent: kind.startsWith('parentbased'),
    },
  }
}

/** Percent-decoded where it is percent-encoded. */
const decoded = (value: string): string => (/^(?:[^%]|%[0-9a-f]{2})*$/i.test(value) ? decodeURIComponent(value) : value)

/** @throws StartupError */
function smtpOf(url: string | undefined, mailFrom: string | undefined): Config['smtp'] {
  if (url === undefined) return null
  const from = senderOf(mailFrom ?? '')
  if (from === null)
    throw new StartupError(
      'MAIL_FROM is missing: with SMTP_URL mails are sent, so write who they are from, as Photos <post@photos.example>.',
    )
  return { url, from }
}

/** What the files hold that NAME_FILE names. @throws StartupError where one cannot be read or is empty, or NAME is set too */
function fromFiles(set: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const found: Record<string, string> = {}
  for (const name of inFiles) {
    const file = set[`${name}_FILE`]
    if (file === undefined) continue
    if (set[name] !== undefined) throw new StartupError(`${name} and ${name}_FILE are both set: keep one of them.`)
    try {
      found[name] = readFileSync(file, 'utf8').trim()
    } catch (error) {
      throw new StartupError(
        `${name}_FILE ${file} cannot be read (${(error as NodeJS.ErrnoException).code}): name a file that holds ${name}.`,
        { cause: error },
      )
    }
    // An empty file would pass for a part that is not wanted.
    if (found[name] === '') throw new StartupError(`${name}_FILE ${file} is empty: write ${name} into it.`)
  }
  return found
}
