import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { readConfig, variables } from '../src/config.ts'
import { temporaryFolder } from './support/temporary.ts'

const values = {
  SECRET: 'a secret of at least thirty-two characters',
  SECRET_PREVIOUS: 'the one before of thirty-two characters',
  DATABASE_URL: 'postgres://ada:word@localhost/darkroom',
  EVENTSTORE_URL: 'esdb://ada:word@localhost:2113',
  NATS_URL: 'nats://ada:word@localhost:4222',
  S3_URL: 'https://key:word@localhost/pictures',
  SMTP_URL: 'smtps://ada:word@localhost',
  OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20word, x-team=photos',
  OPS_TOKEN: 'a token of operators',
}

describe('a variable that holds a secret may stand in a file', () => {
  let folder: string
  const file = (name: string): string => join(folder, name)

  beforeAll(async () => {
    folder = await temporaryFolder()
    // Editors and `echo` end a file with a line feed.
    for (const [name, value] of Object.entries(values)) await writeFile(file(name), `${value}\n`)
    await writeFile(file('empty'), '\n')
    await writeFile(file('short'), 'short\n')
  })

  it('each of them', () => {
    expect(variables.filter(name => name.endsWith('_FILE'))).toEqual(Object.keys(values).map(name => `${name}_FILE`))
    const named = Object.fromEntries(Object.keys(values).map(name => [`${name}_FILE`, file(name)]))
    const from = { MAIL_FROM: 'Photos <post@photos.example>', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }
    expect(readConfig({ ...named, ...from })).toEqual(readConfig({ ...values, ...from }))
    expect(readConfig({ ...named, ...from })).toMatchObject({ databaseUrl: values.DATABASE_URL, opsToken: values.OPS_TOKEN })
  })

  it('one that is set twice, missing, empty or wrong is refused, and its value is not told', () => {
    const refused = (environment: Record<string, string>) => {
      try {
        readConfig(environment)
      } catch (error) {
        return (error as Error).message
      }
      throw new Error('was accepted')
    }
    expect(refused({ NATS_URL: values.NATS_URL, NATS_URL_FILE: file('NATS_URL') })).toBe(
      'NATS_URL and NATS_URL_FILE are both set: keep one of them.',
    )
    expect(refused({ S3_URL_FILE: file('none') })).toMatch(/^S3_URL_FILE .*none cannot be read \(ENOENT\): name a file/)
    expect(refused({ EVENTSTORE_URL_FILE: file('empty') })).toMatch(/^EVENTSTORE_URL_FILE .*empty is empty/)
    expect(refused({ SECRET_FILE: file('short') })).toMatch(/^SECRET in .*short is not usable: write at least 32/)
    const swapped = refused({ DATABASE_URL_FILE: file('NATS_URL') })
    expect(swapped).toMatch(/^DATABASE_URL in .*NATS_URL is not usable: write a URL that begins with postgres:\/\//)
    expect(swapped).not.toContain('word')
  })

  it('a role is content with URLs from files', () => {
    const config = readConfig({ ROLE: 'api', DATABASE_URL_FILE: file('DATABASE_URL'), NATS_URL_FILE: file('NATS_URL') })
    expect(config).toMatchObject({ role: 'api', natsUrl: values.NATS_URL })
  })
})

describe('traces', () => {
  const endpoint = 'http://127.0.0.1:4318'
  const tracing = (environment: Record<string, string>) =>
    readConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, ...environment }).tracing

  it('are for those who have a collector', () => {
    expect(readConfig({ OTEL_TRACES_SAMPLER: 'always_on' }).tracing).toBeNull()
    expect(tracing({})).toEqual({ endpoint, headers: {}, sampler: { ratio: 1, byParent: true } })
    expect(tracing({ OTEL_EXPORTER_OTLP_HEADERS: values.OTEL_EXPORTER_OTLP_HEADERS })?.headers).toEqual({
      authorization: 'Bearer word',
      'x-team': 'photos',
    })
  })

  it.each([
    ['always_off', '1', { ratio: 0, byParent: false }],
    ['traceidratio', '0.25', { ratio: 0.25, byParent: false }],
    ['parentbased_traceidratio', '0.25', { ratio: 0.25, byParent: true }],
    ['parentbased_always_on', '0.25', { ratio: 1, byParent: true }],
  ])('%s of %s', (sampler, part, means) => {
    expect(tracing({ OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: part })?.sampler).toEqual(means)
  })

  it.each<Record<string, string>>([
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' },
    { OTEL_TRACES_SAMPLER: 'sometimes' },
    { OTEL_TRACES_SAMPLER_ARG: '2' },
    { OTEL_TRACES_SAMPLER_ARG: 'half' },
    { OTEL_EXPORTER_OTLP_HEADERS: 'key' },
  ])('%o is refused', environment => {
    expect(() => tracing(environment)).toThrow(`${Object.keys(environment)[0]} is not usable: write`)
  })
})
