import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Bus } from '../../src/kernel/ports/bus.ts'

export type Opened = { readonly bus: Bus; close(): Promise<void> }

/** What every adapter of the bus does. `open` gets what takes the errors of handlers. */
export function busContract(name: string, open: (onError: (error: unknown) => void) => Promise<Opened>): void {
  describe(`a bus: ${name}`, () => {
    let opened: Opened
    let bus: Bus
    let errors: unknown[]
    beforeEach(async () => {
      errors = []
      opened = await open(error => errors.push(error))
      bus = opened.bus
    })
    afterEach(() => opened.close())

    /** What a subscriber to the pattern is told, as [subject, message]. */
    const heardOn = (pattern: string): [string, unknown][] => {
      const heard: [string, unknown][] = []
      bus.subscribe(pattern, (message, subject) => heard.push([subject, message]))
      return heard
    }

    /** Waits until all that was published before has been told. */
    const told = async (): Promise<void> => {
      let done = false
      const stop = bus.subscribe('mark', () => {
        done = true
      })
      bus.publish('mark', null)
      await vi.waitFor(() => expect(done).toBe(true), { timeout: 10_000, interval: 5 })
      stop()
    }

    it('tells a message to everybody who wants its subject, in the order of publishing, and to the publisher too', async () => {
      const [one, two] = [heardOn('a.b'), heardOn('a.b')]
      for (let n = 0; n < 100; n++) bus.publish('a.b', n)
      bus.publish('a', 'other')
      bus.publish('a.b.c', 'other')
      await told()
      const all = Array.from({ length: 100 }, (_, n) => ['a.b', n])
      expect(one).toEqual(all)
      expect(two).toEqual(all)
    })

    it('takes * for one word and > for all that follow', async () => {
      const [one, rest, all, middle] = [heardOn('live.*'), heardOn('live.>'), heardOn('>'), heardOn('*.b.*')]
      for (const subject of ['live', 'live.a', 'live.b.c', 'dead.b.c']) bus.publish(subject, subject)
      await told()
      const subjects = (heard: readonly [string, unknown][]): string[] => heard.map(([subject]) => subject)
      expect(subjects(one)).toEqual(['live.a'])
      expect(subjects(rest)).toEqual(['live.a', 'live.b.c'])
      expect(subjects(all).filter(subject => subject !== 'mark')).toEqual(['live', 'live.a', 'live.b.c', 'dead.b.c'])
      expect(subjects(middle)).toEqual(['live.b.c', 'dead.b.c'])
    })

    it('carries JSON as it is', async () => {
      const heard = heardOn('values')
      const values = [null, 0, '', 'ü \u{1f4f7}\r\n', [1, [2]], { a: { b: null }, 'c.d': [] }, true]
      for (const value of values) bus.publish('values', value)
      await told()
      expect(heard.map(([, message]) => message)).toEqual(values)
    })

    it('tells nothing any more after the subscription has ended, also when it ends twice', async () => {
      const heard: unknown[] = []
      const stop = bus.subscribe('stop.*', message => heard.push(message))
      const others = heardOn('stop.*')
      bus.publish('stop.a', 1)
      await told()
      stop()
      stop()
      bus.publish('stop.a', 2)
      await told()
      expect(heard).toEqual([1])
      expect(others).toHaveLength(2)
    })

    it('survives a handler that throws, and tells the others', async () => {
      const before = heardOn('bad')
      bus.subscribe('bad', () => {
        throw new Error('a bad handler')
      })
      const after = heardOn('bad')
      bus.publish('bad', 1)
      bus.publish('bad', 2)
      await told()
      expect(before).toHaveLength(2)
      expect(after).toHaveLength(2)
      expect(errors).toEqual([new Error('a bad handler'), new Error('a bad handler')])
    })

    it('says and tells nothing after its end, and may be ended twice', async () => {
      const heard = heardOn('end')
      await bus.close()
      bus.publish('end', 1)
      await bus.close()
      expect(heard).toEqual([])
      expect(errors).toEqual([])
    })
  })
}
