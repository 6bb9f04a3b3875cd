import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { MailDelivery } from '../../src/adapters/mail/delivery.ts'
import { outbox } from '../../src/adapters/mail/outbox.ts'
import { type Letter, smtpPost } from '../../src/adapters/mail/smtp.ts'
import type { Log } from '../../src/kernel/ports/log.ts'
import type { Mail } from '../../src/kernel/ports/mail.ts'
import { sql } from '../../src/kernel/sql.ts'
import { TestClock } from '../support/app.ts'
import { type TestKernel, testKernel } from '../support/kernel.ts'
import { freePort } from '../support/server.ts'
import { reply, type Smtp, startedForOne } from '../support/smtp.ts'

const from = { name: 'Photos, of us', address: 'post@photos.example' }
const letter: Letter = { key: 'a key', to: 'ada@example.org', subject: 'Hello', text: 'Good morning' }
const started = startedForOne()

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
