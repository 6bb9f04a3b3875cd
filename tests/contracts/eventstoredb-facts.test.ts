import { expect, it } from 'vitest'
import { standsApart } from '../support/engines.ts'
import { appendProofs } from './eventstoredb/appends.ts'
import { clusterProofs } from './eventstoredb/cluster.ts'
import { subscriptionProofs } from './eventstoredb/subscriptions.ts'

standsApart('it stages what a server does, on a stand-in for EventStoreDB')

/**
 * What is true of `@eventstore/db-client` 6.2.1 and its server, and the test that reproduces it over the wire, beside the adapter that lives
 * with it. The server there is one in memory, made from the client's own generated service: it stands for the wire only.
 */
const facts: readonly (readonly [fact: string, test: string])[] = [
  ['`for await` over a subscription has backpressure', 'a reader that pauses holds the server back'],
  ['breaking out of the loop does not cancel the call, and errors come after it', 'leaving a subscription ends its call'],
  [
    'subscriptions never come back by themselves',
    'a subscription comes back after disconnects in mid-stream, without gap or double',
  ],
  ['a subscription may end without an error', 'a subscription that the server ends without an error goes on'],
  ['"consumer too slow" is ordinary: the live buffer is 32 events', 'a reader that was too slow reads on quietly'],
  ['`fellBehind` is not sent, `caughtUp` once', 'having caught up is told when it is so, and again whenever something passed'],
  [
    'a checkpoint may have prepare ≠ commit and lie between events',
    'a position between two events is resumed from without losing the next one',
  ],
  [
    'a new leader tells of itself in an event that subscriptions look at and no read shows',
    'a log that ends with what no read shows is followed to its end',
  ],
  [
    'a reader behind the last event begins at that, and the next may come just then',
    'what is written while a reader looks for its place behind the last event is not lost',
  ],
  [
    'the usual window does not report the last events that do not match',
    'each position passed is reported live, also of what does not match',
  ],
  [
    'nor does any window report those that came while it went live',
    'what was written while a subscription went live, and does not match, is passed too',
  ],
  ['a window of 1 is slow far behind', 'far behind it looks with a wide window, near the end with one of 1'],
  [
    'the server filters by stream or by type',
    'the server filters by type, or by stream where there is a namespace, and its own events stay out',
  ],
  ['`readAll` ignores a filter', 'the head counts every event, and a filtered reader reaches it'],
  ['a frozen server is noticed after 20 s', 'a subscription to a frozen server comes back when that does'],
  ['a server restarts', 'readers and writers go on after a restart'],
  ['the log may hold events of others', 'an event that Darkroom did not write is passed over in the log and refused in a stream'],
  ['a timeout does not mean "not written"', 'an append whose answer was lost is written once and answered as the first time'],
  [
    'a broken connection rejects what waits behind the full write buffer where nobody can handle it',
    'many appends under way when the connection breaks are all written once, and none ends the process',
  ],
  ['the batch call has no deadline', 'appends to a frozen server are rejected in time as transient, and work again when it does'],
  [
    'the deadline of an append is a time by the clock of the client, which the server compares with its own',
    'a node whose clock is a day behind appends',
  ],
  ['an oversized append rejects those of others', 'an append that is too large is not sent, and others do not notice'],
  ['a bigint inside data ends the process', 'data that is not JSON is refused before it is sent'],
  ['credentials on an append leave the batch call', 'credentials stay off appends, so that they share one call'],
  [
    '`throwOnAppendFailure: false` returns wrong revisions',
    'a wrong revision is refused also where the connection string would have it returned',
  ],
  ['appends wait in a map that all clients of the process share', 'one client of the process appends'],
  ['a batch call that ended without an error is used on', 'an appending call that the server ends without an error is replaced'],
  ['a server that is not ready answers so', 'an answer that is none is repeated'],
  ['errors have a type, a code, both, or only a message, which may be empty', 'errors are told apart by type, code and message'],
  [
    'a discovery that fails while appending is remembered for ever',
    'a discovery that failed while appending does not poison later appends',
  ],
  [
    'a call that fails looks for the connection that is being made in a promise that nobody has',
    'a subscription that breaks during a discovery that fails does not end the process',
  ],
  ['NotLeader says who leads', 'appends follow a change of the leader, each written once'],
  ['the leader dies', 'appends and readers survive the death of the leader'],
  ['the leader freezes', 'a frozen leader is left for the next one'],
  ['discovery waits 5 s for each node that it asks', 'discovery passes frozen nodes by'],
  ['followers may not have what the leader acknowledged', 'streams are read from the leader'],
]

const tests = { ...subscriptionProofs, ...appendProofs, ...clusterProofs }

for (const [fact, name] of facts) {
  it(`${name} (${fact})`, async () => {
    const test = tests[name]
    if (test === undefined) throw new Error('this fact has no test')
    await test()
  })
}

it('every test stands for a fact', () => {
  expect(Object.keys(tests).sort()).toEqual(facts.map(([, name]) => name).sort())
})
