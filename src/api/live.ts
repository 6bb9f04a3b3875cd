import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import * as v from 'valibot'
import type { Commands } from '../commands/context.ts'
import { bounded, shared } from '../kernel/bounded.ts'
import type { Positions } from '../kernel/consistency.ts'
import { json, send } from '../kernel/http/answer.ts'
import { describe } from '../kernel/http/describe.ts'
import { routes } from '../kernel/http/env.ts'
import { noStore } from '../kernel/http/headers.ts'
import type { HandshakeLimits } from '../kernel/http/rate-limit.ts'
import { example, model } from '../kernel/http/schema.ts'
import { query } from '../kernel/http/validate.ts'
import { Outgoing, type Who } from '../kernel/live/client.ts'
import { Hub } from '../kernel/live/hub.ts'
import { messageId } from '../kernel/live/journal.ts'
import { liveStream } from '../kernel/live/sse.ts'
import type { Bus } from '../kernel/ports/bus.ts'
import { iso } from '../kernel/ports/clock.ts'
import type { Log } from '../kernel/ports/log.ts'
import { Problem, refuse } from '../kernel/problem.ts'
import type { ReadModel } from '../kernel/projecting/model.ts'
import { sql } from '../kernel/sql.ts'
import type { Tracing } from '../kernel/tracing.ts'
import { followeeModels, followees, liveJournal, liveMessages, liveModels, topicState } from '../reading/live.ts'
import { sessionModels } from '../reading/sessions.ts'
import type { AppEnv } from './env.ts'
import { signedIn } from './middleware.ts'

/** Milliseconds in which a ticket serves, and in which an SSE stream that it opened may come back with it. */
const ticketMs = 30_000
const streamMs = 10 * 60_000
const connectionsPerAccount = 20
/** What is read at the same time asks together what has changed. */
const readsAtOnce = 512

const Ticket = model(
  'LiveTicket',
  v.object({
    ticket: example(v.string(), 'J0vQkz3mB2uT7yXcE5sLhA8dRwPfN1gKoVtZiU6eMq4'),
    expiresAt: v.pipe(v.string(), v.isoTimestamp()),
    lastEventId: example(
      v.pipe(v.string(), v.description('Where the live messages stand now: resume from here and nothing is missed')),
      '5f2a90c1-42',
    ),
  }),
)

const hashOf = (ticket: string): string => createHash('sha256').update(ticket).digest('base64url')

/** Uses a ticket up. A stream's own serves it again for a while, for a browser reconnects by itself. @throws Problem ticket_invalid */
async function redeem({ reading: { db, clock }, sessions }: Commands, ticket: string, stream: boolean): Promise<Who> {
  const now = clock.now()
  const [row] = await db.run<{ accountId: string; sessionId: string }>(sql`
    update kernel.tickets set used_at = coalesce(used_at, ${iso(now)}::timestamptz), stream = ${stream}
    where id = ${hashOf(ticket)} and (used_at is null and expires_at > ${iso(now)}::timestamptz
      or ${stream} and stream and used_at > ${iso(now - streamMs)}::timestamptz)
    returning account_id as "accountId", session_id as "sessionId"`)
  const session = row === undefined ? null : await sessions.validate(row.sessionId)
  if (row === undefined || session === null)
    return refuse('ticket_invalid', 'This ticket is unknown, used or expired: ask for another at POST /v1/live/tickets.')
  return row
}

async function bearer({ accessTokens, sessions }: Commands, authorization: string | undefined): Promise<Who> {
  const token = /^bearer +(\S{1,4096})$/i.exec(authorization ?? '')?.[1]
  if (token === undefined)
    throw new Problem(
      'authentication_required',
      'Send Authorization: Bearer with an access token, or ?ticket= from POST /v1/live/tickets.',
    )
  const { sessionId } = await accessTokens.verify(token)
  const session = await sessions.validate(sessionId)
  return session ?? refuse('session_revoked', 'This session has ended: sign in again.')
}

const keysOf = (models: readonly ReadModel[]): string[] => models.map(({ key }) => key)

export type LiveParts = {
  readonly commands: Commands
  readonly bus: Bus
  readonly log: Log
  readonly liveEpoch: string
  readonly positions: Positions
  readonly heartbeatMs: number
  /** Of WebSockets' handshakes. */
  readonly limits: HandshakeLimits
  readonly tracing: Tracing | null
}

/** The live channel: its hub, its routes, and who may open a WebSocket. */
export function liveParts({ commands, bus, log, liveEpoch, positions, heartbeatMs, limits, tracing }: LiveParts) {
  const { reading, sessions } = commands
  // A post of somebody famous is read for each of their followers here: not all at once, for requests want their turn too.
  const reads = bounded(readsAtOnce)
  const read = shared<(Outgoing | null)[]>()
  const hub = new Hub({
    journal: liveJournal(reading),
    liveEpoch,
    bus,
    log,
    async followees(accountId, position) {
      await positions.wait(keysOf(followeeModels), position)
      return followees(reading, accountId)
    },
    hydrate(rows, { accountId }) {
      // The devices of an account are told the same.
      const key = `${accountId} ${rows.map(({ seq }) => seq).join()}`
      return read(key, async () => {
        const last = rows.at(-1)
        if (last === undefined) return []
        await positions.wait(keysOf(liveModels(last.type)), last.position, 30_000)
        const told = await reads(() => liveMessages(reading, accountId, rows))
        return rows.map(({ seq, at }, index) => {
          const message = told[index] ?? null
          return message === null ? null : new Outgoing({ id: messageId(liveEpoch, seq), ...message, at })
        })
      })
    },
    topic: (topic, viewers) => topicState(reading, topic, viewers),
    async open({ sessionId }, position) {
      await positions.wait(keysOf(sessionModels), position)
      return (await sessions.validate(sessionId)) !== null
    },
    ...(tracing === null ? {} : { delivered: (row, since) => tracing.delivered(row, since) }),
    clientsPerAccount: connectionsPerAccount,
    heartbeatMs,
  })

  const liveRoutes = routes<AppEnv>()
    .post(
      '/live/tickets',
      describe('A ticket for a WebSocket or SSE stream of a browser, which can set no header', {
        tag: 'Live',
        responses: { 201: Ticket },
      }),
      signedIn,
      async c => {
        const { db, clock } = reading
        const ticket = randomBytes(32).toString('base64url')
        const expiresAt = iso(clock.now() + ticketMs)
        const { id, sessionId } = c.get('actor')
        await db.run(sql`delete from kernel.tickets where expires_at < ${iso(clock.now() - 2 * streamMs)}::timestamptz`)
        await db.run(
          sql`insert into kernel.tickets (id, account_id, session_id, expires_at) values (${hashOf(ticket)}, ${id}, ${sessionId}, ${expiresAt})`,
        )
        noStore(c)
        return json(c, { ticket, expiresAt, lastEventId: hub.lastEventId }, 201)
      },
    )
    .get(
      '/live/events',
      describe('Live messages as server-sent events', {
        tag: 'Live',
        description:
          'Every `data:` is a whole message {id, type, at, data}. Resume with Last-Event-ID or ?lastEventId=. A WebSocket with the same messages is at /v1/live.',
        responses: { 200: { type: 'text/event-stream', description: 'The stream' } },
        problems: ['ticket_invalid', 'rate_limited'],
      }),
      query({
        ticket: v.optional(v.pipe(v.string(), v.maxLength(100))),
        lastEventId: v.optional(v.pipe(v.string(), v.maxLength(100))),
      }),
      async c => {
        const { ticket, lastEventId } = c.get('query')
        const shown = c.req.header('authorization')
        const who =
          ticket !== undefined && shown === undefined ? await redeem(commands, ticket, true) : await bearer(commands, shown)
        await c.get('limits').identify(who.accountId)
        await c.get('limits').count('live')
        if (hub.full(who.accountId))
          throw new Problem('rate_limited', `At most ${connectionsPerAccount} live connections an account.`, {
            headers: { 'Retry-After': '10' },
          })
        // A browser that comes back by itself sends the header: it is newer than what the page once asked for.
        const resumeFrom = c.req.header('last-event-id') ?? lastEventId ?? null
        noStore(c)
        const headers = {
          'Content-Type': 'text/event-stream; charset=utf-8',
          'X-Accel-Buffering': 'no',
        }
        // Nobody reads what HEAD would open, so nobody would end it.
        if (c.req.method === 'HEAD') return send(c, null, 200, headers)
        return send(c, liveStream(hub, who, resumeFrom), 200, headers)
      },
    )

  const authenticate = async ({
    authorization,
    ticket,
    request,
  }: {
    authorization: string | undefined
    ticket: string | null
    request: IncomingMessage
  }): Promise<Who> => {
    await limits.byAddress(request)
    const who =
      ticket !== null && authorization === undefined
        ? await redeem(commands, ticket, false)
        : await bearer(commands, authorization)
    await limits.byAccount(who.accountId)
    return who
  }

  return { hub, routes: liveRoutes, authenticate }
}
