import { once } from 'node:events'
import { createServer } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import type { SMTPServerOptions } from 'smtp-server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Letter, smtpPost, Undeliverable } from '../../src/adapters/mail/smtp.ts'
import { isMailAddress, senderOf } from '../../src/kernel/ports/mail.ts'
import { StartupError } from '../../src/kernel/startup-error.ts'
import { freePort } from '../support/server.ts'
import { reply, selfSigned, startedForOne } from '../support/smtp.ts'

const from = { name: 'Photos, of us', address: 'post@photos.example' }
const letter: Letter = { key: 'a key', to: 'ada@example.org', subject: 'Hello', text: 'Good morning' }
const patient = (): AbortSignal => AbortSignal.timeout(20_000)
const failure = (work: Promise<unknown>): Promise<Error> =>
  work.then(
    () => new Error('nothing failed'),
    error => error as Error,
  )

const started = startedForOne()

/** Loopback by another name, so that nothing is let through in clear because of it. */
const elsewhere = '[::ffff:127.0.0.1]'

describe('a mail by SMTP', () => {
  it('arrives as it was written, with all that says what it is', async () => {
    const server = await started()
    const text = 'Grüße aus Łódź 📷\n\n.\nEnd'
    await smtpPost(`smtp://127.0.0.1:${server.port}`, from).deliver({ ...letter, subject: 'Schöne Grüße', text }, patient())
    const [mail] = server.arrived
    expect(mail).toMatchObject({ from: 'post@photos.example', to: ['ada@example.org'], greeted: 'photos.example', secure: false })
    const { headers } = mail!
    expect(headers.from).toBe('"Photos, of us" <post@photos.example>')
    expect(headers.to).toBe('ada@example.org')
    expect(headers.subject).toBe('=?UTF-8?Q?Sch=C3=B6ne_Gr=C3=BC=C3=9Fe?=')
    expect(headers['auto-submitted']).toBe('auto-generated')
    expect(headers['content-type']).toMatch(/^text\/plain; charset=utf-8/)
    expect(Date.parse(headers.date!)).toBeGreaterThan(Date.now() - 60_000)
    expect(Object.keys(headers).sort()).toEqual([
      'auto-submitted',
      'content-transfer-encoding',
      'content-type',
      'date',
      'from',
      'message-id',
      'mime-version',
      'subject',
      'to',
    ])
    const { body } = mail!
    const decoded =
      headers['content-transfer-encoding'] === 'base64'
        ? Buffer.from(body, 'base64').toString()
        : Buffer.from(
            body.replace(/=\r\n/g, '').replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
            'latin1',
          ).toString()
    expect(decoded.replaceAll('\r\n', '\n')).toBe(text)
  })

  it('has the same Message-ID whenever it is sent again, and another mail another', async () => {
    const server = await started()
    const post = smtpPost(`smtp://127.0.0.1:${server.port}`, from)
    for (const key of ['one', 'one', 'two']) await post.deliver({ ...letter, key }, patient())
    const ids = server.arrived.map(({ headers }) => headers['message-id'])
    expect(ids[0]).toMatch(/^<[0-9a-f]{40}@photos\.example>$/)
    expect(ids).toEqual([post.messageId('one'), post.messageId('one'), post.messageId('two')])
    expect(ids[2]).not.toBe(ids[0])
  })

  it.each([
    'Hello\r\nBcc: eve@example.org',
    'Hello\nBcc: eve@example.org\n\nbody',
    'Hello\r\n\r\nbody',
    'Hello\rBcc: eve@example.org',
  ])('takes no header from its subject: %j', async subject => {
    const server = await started()
    await smtpPost(`smtp://127.0.0.1:${server.port}`, from).deliver({ ...letter, subject }, patient())
    const [mail] = server.arrived
    expect(mail!.to).toEqual(['ada@example.org'])
    expect(mail!.headers).not.toHaveProperty('bcc')
    expect(mail!.body).toBe('Good morning')
    expect(mail!.headers.subject).toMatch(/^Hello/)
  })

  it.each([
    'ada@example.org, eve@example.org',
    'ada@example.org\r\nRCPT TO:<eve@example.org>',
    'Eve <eve@example.org>',
    '<eve@example.org>',
    '"eve@example.org> SIZE=1"@example.org',
    'ada@example.org\0',
    'ada@eve@example.org',
    'group:eve@example.org;',
    'nobody',
    '',
    `${'a'.repeat(250)}@example.org`,
  ])('goes to one address or to nobody: %j', async to => {
    const server = await started()
    const refused = await failure(smtpPost(`smtp://127.0.0.1:${server.port}`, from).deliver({ ...letter, to }, patient()))
    expect(refused).toBeInstanceOf(Undeliverable)
    expect(server.arrived).toEqual([])
  })

  it('is signed in for with user and password', async () => {
    const server = await started({
      authOptional: false,
      allowInsecureAuth: true,
      onAuth: ({ username, password }, _, done) =>
        username === 'da/rk' && password === 'p@ss:word' ? done(null, { user: username }) : done(reply(535, `no ${password}`)),
    })
    const at = (who: string): string => `smtp://${who}@127.0.0.1:${server.port}`
    await smtpPost(at(`da%2Frk:${encodeURIComponent('p@ss:word')}`), from).deliver(letter, patient())
    expect(server.arrived.map(({ user }) => user)).toEqual(['da/rk'])
    const refused = await failure(smtpPost(at('da%2Frk:another-word'), from).deliver(letter, patient()))
    expect(refused).not.toBeInstanceOf(Undeliverable)
    expect(refused.message).toMatch(/^535 to AUTH/)
    expect(refused.message).not.toContain('another-word')
  })
})

describe('encryption', () => {
  let certificate: { key: string; cert: string }
  let ofAnother: { key: string; cert: string }
  const trusted = getCACertificates('default')
  beforeAll(() => {
    certificate = selfSigned('127.0.0.1', '::ffff:127.0.0.1')
    ofAnother = selfSigned('192.0.2.1')
    setDefaultCACertificates([...trusted, certificate.cert, ofAnother.cert])
  })
  afterAll(() => setDefaultCACertificates(trusted))

  it('is asked for by STARTTLS', async () => {
    const server = await started({ ...certificate, disabledCommands: [] })
    await smtpPost(`smtp://${elsewhere}:${server.port}`, from).deliver(letter, patient())
    expect(server.arrived).toMatchObject([{ secure: true }])
  })

  it('is there from the beginning with smtps', async () => {
    const server = await started({ ...certificate, secure: true })
    await smtpPost(`smtps://127.0.0.1:${server.port}`, from).deliver(letter, patient())
    expect(server.arrived).toMatchObject([{ secure: true }])
  })

  it('must be: a server that has none gets nothing, unless it is meant', async () => {
    const server = await started()
    const refused = await failure(smtpPost(`smtp://${elsewhere}:${server.port}`, from).deliver(letter, patient()))
    expect(refused).not.toBeInstanceOf(Undeliverable)
    expect(refused.message).toMatch(/STARTTLS|ETLS/)
    expect(server.arrived).toEqual([])
    await smtpPost(`smtp://${elsewhere}:${server.port}?plain=1`, from).deliver(letter, patient())
    expect(server.arrived).toMatchObject([{ secure: false }])
  })

  it.each([
    ['a certificate that nobody trusts', () => selfSigned('127.0.0.1', '::ffff:127.0.0.1')],
    ['a certificate of somebody else', () => ofAnother],
  ])('is none with %s', async (_, made) => {
    const tls = made()
    for (const [url, options] of [
      ['smtps://127.0.0.1', { secure: true }],
      [`smtp://${elsewhere}`, { disabledCommands: [] as string[] }],
    ] as const) {
      const server = await started({ ...tls, ...options })
      const refused = await failure(smtpPost(`${url}:${server.port}`, from).deliver(letter, patient()))
      expect(refused).not.toBeInstanceOf(Undeliverable)
      expect(refused.message).toMatch(/ESOCKET|ETLS|ECONNECTION/)
      expect(server.arrived).toEqual([])
    }
  })
})

describe('a server that does not take a mail', () => {
  const at = (code: number): ((...args: never[]) => void) => {
    return (...args: never[]) => (args.at(-1) as unknown as (error: Error) => void)(reply(code, 'no <ada@example.org> here'))
  }
  it.each<[string, SMTPServerOptions, 'never' | 'later', RegExp]>([
    ['whose box is unknown', { onRcptTo: at(550) }, 'never', /^550 to RCPT TO$/],
    ['from us', { onMailFrom: at(553) }, 'never', /^553 to MAIL FROM$/],
    [
      'of such content',
      { onData: (stream, _, done) => stream.resume().on('end', () => done(reply(554))) },
      'never',
      /^554 to DATA$/,
    ],
    ['as long as it is grey-listed', { onRcptTo: at(450) }, 'later', /^450 to RCPT TO$/],
    ['right now', { onMailFrom: at(421) }, 'later', /^421 /],
    [
      'with a full disk',
      { onData: (stream, _, done) => stream.resume().on('end', () => done(reply(452))) },
      'later',
      /^452 to DATA$/,
    ],
    ['and greets nobody', { onConnect: at(554) }, 'later', /^554 to CONN$/],
  ])('%s', async (_, options, when, reason) => {
    const server = await started(options)
    const refused = await failure(smtpPost(`smtp://127.0.0.1:${server.port}`, from).deliver(letter, patient()))
    expect(refused instanceof Undeliverable ? 'never' : 'later').toBe(when)
    // Neither says to whom, for it goes to the log.
    expect(refused.message).toMatch(reason)
    expect(refused.message).not.toContain('example.org')
  })

  it('because it is not there', async () => {
    const refused = await failure(smtpPost(`smtp://127.0.0.1:${await freePort()}`, from).deliver(letter, patient()))
    expect(refused).not.toBeInstanceOf(Undeliverable)
    expect(refused.message).toMatch(/ECONNREFUSED|ESOCKET|ECONNECTION/)
  })

  it('and says nothing at all', async () => {
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as { port: number }
    const refused = await failure(smtpPost(`smtp://127.0.0.1:${port}`, from).deliver(letter, AbortSignal.timeout(200)))
    expect(refused).not.toBeInstanceOf(Undeliverable)
    silent.close()
  })
})

describe('settings', () => {
  it.each(['smtp://', 'smtp://mail.example/path', 'smtp://mail.example?plian=1'])('refuse %s', url => {
    expect(() => smtpPost(url, from)).toThrow(StartupError)
  })

  it.each<[string, ReturnType<typeof senderOf>]>([
    ['post@photos.example', { name: '', address: 'post@photos.example' }],
    ['Photos <post@photos.example>', { name: 'Photos', address: 'post@photos.example' }],
    ['Unsere Fotos, täglich <post@photos.example>', { name: 'Unsere Fotos, täglich', address: 'post@photos.example' }],
    ['<post@photos.example>', { name: '', address: 'post@photos.example' }],
    ['Photos post@photos.example', null],
    ['Photos <post@photos.example> <eve@example.org>', null],
    ['Photos\r\nBcc: eve@example.org <post@photos.example>', null],
    ['a@example.org, b@example.org', null],
    ['Photos', null],
    ['', null],
  ])('know a sender: %j', (text, expected) => {
    expect(senderOf(text)).toEqual(expected)
  })

  it('know an address', () => {
    expect(['ada@example.org', 'a.b+c@ex-ample.org', 'łada@łódź.example'].every(isMailAddress)).toBe(true)
  })
})
