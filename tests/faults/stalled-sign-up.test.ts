import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { signUp } from '../../src/commands/accounts.ts'
import type { Commands } from '../../src/commands/context.ts'
import { account } from '../../src/domain/accounts/account.ts'
import { name } from '../../src/domain/accounts/name.ts'
import type { Execute } from '../../src/kernel/execute.ts'
import { Problem } from '../../src/kernel/problem.ts'
import { sql } from '../../src/kernel/sql.ts'
import { accountsModel } from '../../src/projections/accounts/project.ts'
import { type TestApp, testApp } from '../support/app.ts'
import { allSettled } from '../support/settled.ts'

let app: TestApp
beforeAll(async () => {
  app = await testApp()
})
afterAll(() => app.stop())

const origin = { device: { userAgent: null, address: '127.0.0.1' }, actor: { id: null, sessionId: null, correlationId: 'test' } }
const wanted = (username: string, who: string) => ({ username, email: `${who}@example.org`, password: `the password of ${who}` })
const longer = 6_000

/** Commands whose `execute` is looked at before each command of a type to a kind of stream. */
function before(commands: Commands, of: unknown, type: string, look: () => Promise<void>): Commands {
  const execute: Execute = async (decider, stream, command, actor, options) => {
    if ((decider as unknown) === of && (command as { type: string }).type === type) await look()
    return commands.execute(decider, stream, command, actor, options)
  }
  return { ...commands, execute }
}

/** Commands that take a reservation's age for proof that it was abandoned: the mistake that the account's own word guards against. */
function trustingTime(commands: Commands): Commands {
  const execute: Execute = async (decider, stream, command, actor, options) => {
    if ((command as { type: string }).type === 'AbandonName')
      return { state: decider.initial, events: [], revision: -1, position: 0 }
    return commands.execute(decider, stream, command, actor, options)
  }
  return { ...commands, execute }
}

/** A sign-up that stops before a step, until it is let go on. */
async function stalled(username: string, of: unknown, step: string) {
  const { promise: held, resolve: go } = Promise.withResolvers<void>()
  const { promise: there, resolve: arrived } = Promise.withResolvers<void>()
  const commands = before(app.app.commands, of, step, async () => {
    arrived()
    await held
  })
  const ending = outcome(signUp(commands, wanted(username, 'the.first'), origin))
  await there
  return () => {
    go()
    return ending
  }
}

const outcome = (work: Promise<{ accountId: string }>): Promise<string> =>
  work.then(
    () => 'signed up',
    error => (error instanceof Problem ? error.code : String(error)),
  )

/** How many accounts say that this is their name. */
async function holders(username: string): Promise<number> {
  await allSettled(app)
  return (await app.app.db.run(sql`select id from ${accountsModel.t.accounts} where username = ${username}`)).length
}

describe('two at once for one name, one of them stalled', () => {
  it('before its account is there: the other takes the name, the stalled one gets none', async () => {
    const resume = await stalled('first.order', account, 'SignUp')
    app.clock.advance(longer)
    expect(await outcome(signUp(app.app.commands, wanted('first.order', 'the.second'), origin))).toBe('signed up')
    expect(await resume()).toBe('unavailable')
    expect(await holders('first.order')).toBe(1)
  })

  it('once its account is there: the other confirms the name for it and gets none', async () => {
    const resume = await stalled('second.order', name, 'Hold')
    app.clock.advance(longer)
    expect(await outcome(signUp(app.app.commands, wanted('second.order', 'the.second'), origin))).toBe('username_taken')
    expect(await resume()).toBe('signed up')
    expect(await holders('second.order')).toBe(1)
  })

  it('while the other is about to take it over: one of them has it', async () => {
    const resume = await stalled('no.order', account, 'SignUp')
    app.clock.advance(longer)
    const other = before(app.app.commands, account, 'AbandonName', async () => {
      await resume()
    })
    expect(await outcome(signUp(other, wanted('no.order', 'the.second'), origin))).toBe('username_taken')
    expect(await holders('no.order')).toBe(1)
  })

  it('would both have it if time alone permitted the takeover', async () => {
    const resume = await stalled('no.guard', account, 'SignUp')
    app.clock.advance(longer)
    expect(await outcome(signUp(trustingTime(app.app.commands), wanted('no.guard', 'the.second'), origin))).toBe('signed up')
    expect(await resume()).toBe('signed up')
    expect(await holders('no.guard')).toBe(2)
  })
})
