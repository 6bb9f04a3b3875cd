import { afterAll, beforeAll, expect, it } from 'vitest'
import { type TestApp, testApp } from '../support/app.ts'
import { reply, type Smtp, startSmtp } from '../support/smtp.ts'

let mail: Smtp
let app: TestApp
let away = false
beforeAll(async () => {
  mail = await startSmtp({ onMailFrom: (_address, _session, done) => done(away ? reply(421) : null) })
  const smtp = { url: `smtp://127.0.0.1:${mail.port}`, from: { name: 'Photos', address: 'post@photos.example' } }
  app = await testApp({ config: { smtp } })
})
afterAll(async () => {
  await app?.stop()
  await mail?.end()
})

it('who has an address already is told by mail, once a day, when somebody signs up with it', async () => {
  await app.signUp('ada', { email: 'ada@example.org' })
  await app.signUp('eve', { email: 'Ada@Example.org' })
  await expect.poll(() => mail.arrived.length, { timeout: 20_000 }).toBe(1)
  await app.signUp('mallory', { email: 'ada@example.org' })
  await app.signUp('ben', { email: 'ben@example.org' })
  await app.signUp('ben_again', { email: 'ben@example.org' })
  await expect.poll(() => mail.arrived.length, { timeout: 20_000 }).toBe(2)
  expect(mail.arrived.map(({ to }) => to)).toEqual([['ada@example.org'], ['ben@example.org']])
  const [told] = mail.arrived
  expect(told!.headers.subject).toBe('Somebody signed up with your address')
  expect(told!.headers.from).toBe('Photos <post@photos.example>')
  expect(told!.body).toContain('sign in as ada')
  // What is delivered stays nowhere.
  await expect.poll(async () => (await app.get('/dev/outbox')).body.items, { timeout: 20_000 }).toEqual([])
})

it('a mail server that is away keeps nothing else waiting: not names, not erasures', async () => {
  away = true
  const cy = await app.signUp('cy', { email: 'cy@example.org' })
  const other = await app.signUp('cy_again', { email: 'cy@example.org' })
  await expect.poll(async () => (await app.get('/dev/outbox')).body.items.length, { timeout: 20_000 }).toBe(1)
  for (const person of [other, cy]) {
    const { status, body } = await person.post('/me/erasure')
    expect(status).toBe(202)
    const receipt = async () => (await app.get(`/erasures/${body.erasure.id}`)).body.status
    await expect.poll(receipt, { timeout: 20_000 }).toBe('completed')
  }
  // With its holder the mail goes too.
  await expect.poll(async () => (await app.get('/dev/outbox')).body.items, { timeout: 20_000 }).toEqual([])
  expect(mail.arrived).toHaveLength(2)
})
