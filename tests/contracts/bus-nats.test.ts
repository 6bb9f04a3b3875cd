import { once } from 'node:events'
import { connect as dial } from 'nats'
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { NatsBus, type NatsOptions } from '../../src/adapters/bus/nats.ts'
import type { Log } from '../../src/kernel/ports/log.ts'
import { StartupError } from '../../src/kernel/startup-error.ts'
import { ownName, standsApart, standsOn } from '../support/engines.ts'
import { type Nats, natsServer, startNats } from '../support/nats.ts'
import { freePort } from '../support/server.ts'
import { busContract } from './bus.ts'

/** Where there is no nats-server, what is skipped says so by its name. */
const without = natsServer === null ? ', for want of nats-server' : ''
const patience = { timeout: 15_000, interval: 10 }

function keptLog(): { log: Log; said: string[] } {
  const said: string[] = []
  const keep = (_: object, message: string): void => void said.push(message)
  return { said, log: { debug() {}, info: keep, warn: keep, error: keep } }
}

const failing = (error: unknown): never => {
  throw error
}

standsApart('it takes its NATS away; the contract runs on the one given too')
standsOn('NATS_URL')

const { NATS_URL } = inject('engines').given
if (NATS_URL !== undefined)
  busContract('NATS, the one given', async onError => {
    const bus = await NatsBus.connect({ url: NATS_URL, prefix: `${ownName()}.`, log: keptLog().log, onError })
    return { bus, close: () => bus.close() }
  })

describe.skipIf(natsServer === null)(`on a real nats-server${without}`, () => {
  let nats: Nats
  beforeAll(async () => {
    nats = await startNats()
  })
  afterAll(() => nats.end())

  const opened = (options: Partial<NatsOptions> = {}): Promise<NatsBus> =>
    NatsBus.connect({ url: nats.url, log: keptLog().log, onError: failing, ...options })

  let tests = 0
  for (const [name, prefix] of [
    ['NATS', 'contract.'],
    ['NATS with a longer prefix', 'two.words.'],
  ] as const)
    busContract(name, async onError => {
      // Tests share the server, each below a word of its own.
      const bus = await opened({ prefix: `${prefix}${tests++}.`, onError })
      return { bus, close: () => bus.close() }
    })

  it('reaches other processes that use the prefix, and nobody else', async () => {
    const [here, there, other] = [
      await opened({ prefix: 'one.' }),
      await opened({ prefix: 'one.' }),
      await opened({ prefix: 'two.' }),
    ]
    const service = await dial({ servers: nats.url })
    const heard: unknown[] = []
    there.subscribe('darkroom.>', (message, subject) => heard.push([subject, message]))
    other.subscribe('>', () => heard.push('across'))
    const outside: unknown[] = []
    service.subscribe('one.darkroom.live.*', { callback: (_, message) => outside.push(message.json()) })
    await service.flush()
    // What is published may overtake a subscription of another connection: ask until it is there.
    await vi.waitFor(() => {
      here.publish('darkroom.live.a', { seq: 1 })
      expect(heard).toContainEqual(['darkroom.live.a', { seq: 1 }])
      expect(outside).toContainEqual({ seq: 1 })
    }, patience)
    expect(heard).not.toContain('across')
    await Promise.all([here.close(), there.close(), other.close(), service.close()])
  })

  it('tells the publisher’s own process once, and right away', async () => {
    const [here, there] = [await opened({ prefix: 'once.' }), await opened({ prefix: 'once.' })]
    const own: unknown[] = []
    const others: unknown[] = []
    here.subscribe('a', message => own.push(message))
    there.subscribe('a', message => others.push(message))
    await there.look()
    here.publish('a', 1)
    expect(own).toEqual([1])
    await vi.waitFor(() => expect(others).toEqual([1]), patience)
    // What came back would have come before this is answered.
    await here.look()
    expect(own).toEqual([1])
    await Promise.all([here.close(), there.close()])
  })

  it('ignores what is no JSON, with a line in the log, and goes on', async () => {
    const { log, said } = keptLog()
    const bus = await opened({ prefix: 'json.', log })
    const heard: unknown[] = []
    bus.subscribe('a', message => heard.push(message))
    const service = await dial({ servers: nats.url })
    await vi.waitFor(() => {
      for (const payload of ['{', '', '{"a":1}']) service.publish('json.a', payload)
      expect(heard).toContainEqual({ a: 1 })
    }, patience)
    expect(said).toContain('a message on the bus is no JSON: ignored')
    expect(heard.every(message => JSON.stringify(message) === '{"a":1}')).toBe(true)
    await Promise.all([bus.close(), service.close()])
  })

  it('hands over what cannot be sent, and does not throw', async () => {
    const errors: unknown[] = []
    const bus = await opened({ onError: error => errors.push(error) })
    bus.publish('big', 'x'.repeat(2 * 1024 * 1024))
    bus.publish('big', { position: 1n })
    expect(errors).toHaveLength(2)
    await bus.close()
  })

  it('comes back with its subscriptions when the server was killed, and drops what is said meanwhile', {
    timeout: 60_000,
  }, async () => {
    const own = await startNats()
    const { log, said } = keptLog()
    const [one, two] = [await opened({ url: own.url, log }), await opened({ url: own.url })]
    const heard: unknown[] = []
    two.subscribe('news.*', message => heard.push(message))
    let here = 0
    const stop = one.subscribe('news.*', () => here++)
    await own.end('SIGKILL')
    await vi.waitFor(() => expect(said.join()).toContain('NATS is away'), patience)
    one.publish('news.here', 1)
    expect(here).toBe(1)
    stop()
    const before = process.memoryUsage().arrayBuffers
    const long = 'x'.repeat(100_000)
    // 400 MB if they were kept.
    for (let n = 0; n < 4_000; n++) one.publish('news.lost', long)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100_000_000)
    let late = 0
    two.subscribe('late', () => late++)
    const again = await startNats(Number(new URL(own.url).port))
    await vi.waitFor(() => {
      one.publish('news.fresh', 'fresh')
      one.publish('late', 1)
      expect(heard).toContain('fresh')
      expect(late).toBeGreaterThan(0)
    }, patience)
    expect(said).toContain('NATS is back')
    expect(heard).not.toContain(long)
    await again.end('SIGKILL')
    await vi.waitFor(() => expect(said.filter(line => line.startsWith('NATS is away'))).toHaveLength(2), patience)
    // Also without a server an end is an end.
    await Promise.all([one.close(), two.close()])
  })

  it('does not fill the memory while the server is frozen', { timeout: 60_000 }, async () => {
    const own = await startNats()
    const bus = await opened({ url: own.url })
    own.child.kill('SIGSTOP')
    const before = process.memoryUsage()
    const long = 'x'.repeat(100_000)
    for (let n = 0; n < 4_000; n++) {
      bus.publish('news', long)
      if (n % 100 === 0) await new Promise(setImmediate)
    }
    const now = process.memoryUsage()
    expect(now.arrayBuffers - before.arrayBuffers).toBeLessThan(150_000_000)
    await bus.close()
    const gone = once(own.child, 'exit')
    own.child.kill('SIGKILL')
    await gone
  })

  it('shows who it is by the URL: user and password, or a token', async () => {
    for (const [args, credentials, wrong] of [
      [['--user', 'dark', '--pass', 'p@ss:word/4222'], `dark:${encodeURIComponent('p@ss:word/4222')}`, 'dark:other'],
      [['--auth', 's3cret-token'], 's3cret-token', 'other-token'],
    ] as const) {
      const own = await startNats(undefined, args)
      const urlWith = (who: string): string => own.url.replace('//', `//${who}@`)
      const bus = await opened({ url: urlWith(credentials) })
      await bus.close()
      const refused = await opened({ url: urlWith(wrong) }).catch((error: unknown) => error)
      expect(refused).toBeInstanceOf(StartupError)
      expect(String(refused)).toMatch(/NATS at 127\.0\.0\.1:\d+ cannot be used .*NATS_URL/)
      expect(String(refused)).not.toContain('other')
      await own.end()
    }
  })

  it('takes several servers of which one is there', async () => {
    const bus = await opened({ url: `nats://127.0.0.1:${await freePort()},${nats.url}` })
    await bus.close()
  })
})

it('says in one line that there is no server', async () => {
  const url = `nats://who:secret-word@127.0.0.1:${await freePort()}`
  const refused = await NatsBus.connect({ url, log: keptLog().log, onError: failing }).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(StartupError)
  expect(String(refused)).toMatch(/^[^\n]+$/)
  expect(String(refused)).not.toContain('secret-word')
})
