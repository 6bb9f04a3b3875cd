import { once } from 'node:events'
import { createServer } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import type { SMTPServerOptions } from 'smtp-server'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { MailDelivery } from '../../src/adapters/mail/delivery.ts'
import { outbox } from '../../src/adapters/mail/outbox.ts'
import { type Letter, smtpPost, Undeliverable } from '../../src/adapters/mail/smtp.ts'
import type { Log } from '../../src/kernel/ports/log.ts'
import { isMailAddress, type Mail, senderOf } from '../../src/kernel/ports/mail.ts'
import { sql } from '../../src/kernel/sql.ts'
import { StartupError } from '../../src/kernel/startup-error.ts'
import { TestClock } from '../support/app.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'
import { freePort } from '../support/server.ts'
import { reply, type Smtp, selfSigned, startSmtp } from '../support/smtp.ts'

const from = { name: 'Photos, of us', address: 'post@photos.example' }
const letter: Letter = { key: 'a key', to: 'ada@example.org', subject: 'Hello', text: 'Good morning' }
const patient = (): AbortSignal => AbortSignal.timeout(20_000)
const failure = (work: Promise<unknown>): Promise<Error> =>
  work.then(
    () => new Error('nothing failed'),
    error => error as Error,
  )

const servers: Smtp[] = []
const started = async (options?: SMTPServerOptions): Promise<Smtp> => {
  const server = await startSmtp(options)
  servers.push(server)
  return server
}
afterEach(async () => {
  for (const server of servers.splice(0)) await server.end()
})

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

describe('the outbox', () => {
  let kernel: TestKernel
  beforeAll(async () => {
    kernel = await testKernel()
  })
  afterAll(() => kernel.close())
  afterEach(() => kernel.db.run(sql`delete from kernel.outbox`))

  let keys = 0
  const mail = (fields: Partial<Mail> = {}): Mail => ({
    ...letter,
    key: `mail ${keys++}`,
    accountId: '018f6e5a-7c1d-4b7e-9a51-3f0c2d9b8e14',
    ...fields,
  })
  const set = (server: Pick<Smtp, 'port'>) => {
    const clock = new TestClock()
    const said: string[] = []
    const say = (fields: object, message: string): void => void said.push(`${message} ${JSON.stringify(fields)}`)
    const log: Log = { debug: () => {}, info: say, warn: say, error: say }
    const post = smtpPost(`smtp://127.0.0.1:${server.port}`, from)
    const delivery = (): MailDelivery => new MailDelivery({ db: kernel.db, clock, log, post })
    return { clock, said, post, delivery, mailer: outbox(kernel.db, clock, () => {}) }
  }
  const rows = () =>
    kernel.db.run<{ recipient: string; text: string; due: string | null; tries: number }>(
      sql`select recipient, text, due, tries from kernel.outbox order by at`,
    )

  it('delivers what waits, once, and keeps nothing of it but its key', async () => {
    const server = await started()
    const { mailer, delivery } = set(server)
    const one = mail()
    for (const each of [one, mail({ to: 'ben@example.org' }), one]) await mailer.send(each)
    expect(await delivery().deliver()).toBe(2)
    await mailer.send(one)
    expect(await delivery().deliver()).toBe(0)
    expect(server.arrived.map(({ to }) => to[0])).toEqual(['ada@example.org', 'ben@example.org'])
    expect(await rows()).toEqual(Array(2).fill({ recipient: '', text: '', due: null, tries: 1 }))
  })

  it('shares the work out among processes: each mail goes once', async () => {
    const server = await started()
    const { mailer, delivery } = set(server)
    const to = Array.from({ length: 12 }, (_, index) => `person${index + 10}@example.org`)
    for (const each of to) await mailer.send(mail({ to: each }))
    const sent = await Promise.all([delivery().deliver(), delivery().deliver(), delivery().deliver()])
    expect(sent.reduce((sum, each) => sum + each)).toBe(12)
    expect(server.arrived.map(({ to }) => to[0]).sort()).toEqual(to)
  })

  it('tries again later, and later each time; meanwhile the others go', async () => {
    let full = true
    const server = await started({
      onRcptTo: ({ address }, _, done) => done(full && address === 'full@example.org' ? reply(452, 'full') : null),
    })
    const { mailer, delivery, clock, said } = set(server)
    await mailer.send(mail({ to: 'full@example.org' }))
    await mailer.send(mail())
    expect(await delivery().deliver()).toBe(1)
    for (const seconds of [5, 15, 45, 135]) {
      expect(said.at(-1)).toMatch(new RegExp(`^a mail waits for its next try .*"seconds":${seconds}}$`))
      clock.advance((seconds - 1) * 1000)
      const before = said.length
      expect(await delivery().deliver()).toBe(0)
      expect(said).toHaveLength(before)
      clock.advance(1_100)
      expect(await delivery().deliver()).toBe(0)
      expect(said).toHaveLength(before + 1)
    }
    full = false
    clock.advance(15 * 60_000)
    expect(await delivery().deliver()).toBe(1)
    expect(server.arrived.map(({ to }) => to[0])).toEqual(['ada@example.org', 'full@example.org'])
    expect(said.join()).not.toContain('example.org')
  })

  it('gives up what is refused for good, aloud, and does not stop at it', async () => {
    const server = await started({ onRcptTo: ({ address }, _, done) => done(address.startsWith('gone') ? reply(550) : null) })
    const { mailer, delivery, said, post, clock } = set(server)
    const gone = mail({ to: 'gone@example.org' })
    for (const each of [gone, mail({ to: 'no address' }), mail()]) await mailer.send(each)
    expect(await delivery().deliver()).toBe(1)
    expect(said[0]).toBe(
      `a mail is refused for good, and is given up ${JSON.stringify({ mail: post.messageId(gone.key), reason: '550 to RCPT TO' })}`,
    )
    expect(said).toHaveLength(2)
    await mailer.send(gone)
    clock.advance(24 * 3_600_000)
    expect(await delivery().deliver()).toBe(0)
    expect(said).toHaveLength(2)
  })

  it('gives up after a day', async () => {
    const { mailer, delivery, said, clock } = set({ port: await freePort() })
    await mailer.send(mail())
    expect(await delivery().deliver()).toBe(0)
    clock.advance(25 * 3_600_000)
    expect(await delivery().deliver()).toBe(0)
    expect(said.at(-1)).toMatch(/^a mail could not be delivered within a day, and is given up /)
    expect(await rows()).toMatchObject([{ recipient: '', text: '', due: null }])
  })

  it('forgets what still waits for who is erased', async () => {
    const server = await started()
    const { mailer, delivery } = set(server)
    const waiting = mail()
    await mailer.send(waiting)
    await mailer.forget(waiting.accountId)
    expect(await delivery().deliver()).toBe(0)
    expect(await rows()).toEqual([])
  })

  it('keeps the key for a week, so that no repeat is sent again, and then nothing', async () => {
    const server = await started()
    const { mailer, delivery, clock } = set(server)
    const [sent, late] = [mail(), mail({ to: 'ben@example.org' })]
    await mailer.send(sent)
    await delivery().deliver()
    await outbox(kernel.db, clock).send(mail({ to: 'nobody delivers@example.org' }))
    clock.advance(7 * 24 * 3_600_000 - 60_000)
    await mailer.send(late)
    expect(await mailer.sweep()).toBe(0)
    await mailer.send(sent)
    clock.advance(61_000)
    expect(await mailer.sweep()).toBe(2)
    expect(await rows()).toMatchObject([{ recipient: 'ben@example.org' }])
    expect(await delivery().deliver()).toBe(1)
    expect(server.arrived.map(({ to }) => to[0])).toEqual(['ada@example.org', 'ben@example.org'])
  })

  it('lets go of what is under way when it ends: the next process sends it, as the same mail', async () => {
    let asked = 0
    let frozen = true
    const server = await started({
      onRcptTo(_address, _session, done) {
        asked++
        if (!frozen) done(null)
      },
    })
    const { mailer, delivery, post } = set(server)
    const one = mail()
    await mailer.send(one)
    const ending = delivery()
    const delivering = ending.deliver()
    await vi.waitFor(() => expect(asked).toBe(1), { timeout: 20_000, interval: 5 })
    await ending.stop()
    expect(await delivering).toBe(0)
    frozen = false
    expect(await delivery().deliver()).toBe(1)
    expect(server.arrived.map(({ headers }) => headers['message-id'])).toEqual([post.messageId(one.key)])
  })

  it('is looked at by itself, and when it is told', async () => {
    const server = await started()
    const { mailer, delivery } = set(server)
    const running = delivery()
    await mailer.send(mail())
    running.nudge()
    await expect.poll(() => server.arrived.length, { timeout: 20_000 }).toBe(1)
    await running.stop()
  })
})
