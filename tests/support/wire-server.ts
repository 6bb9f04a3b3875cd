import { randomUUID } from 'node:crypto'
import { GossipService, type IGossipServer } from '@eventstore/db-client/generated/gossip_grpc_pb.js'
import gossip from '@eventstore/db-client/generated/gossip_pb.js'
import { type IServerFeaturesServer, ServerFeaturesService } from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js'
import features from '@eventstore/db-client/generated/serverfeatures_pb.js'
import { type IStreamsServer, StreamsService } from '@eventstore/db-client/generated/streams_grpc_pb.js'
import type { BatchAppendReq, BatchAppendResp, ReadReq } from '@eventstore/db-client/generated/streams_pb.js'
import streams from '@eventstore/db-client/generated/streams_pb.js'
import { Metadata, Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js'
import { Cable } from './wire/cable.ts'
import { type Proposed, type WireEvent, WireLog } from './wire/log.ts'
import { answerMessage, busyMessage, eventMessage, nameOf, notFoundMessage, placeOf, proposedOf, uuid } from './wire/messages.ts'
import { type Reading, serveSubscription, tooSlow } from './wire/subscription.ts'

type Appending = ServerDuplexStream<BatchAppendReq, BatchAppendResp>

/**
 * A node of EventStoreDB as its client sees it: the gRPC service that the client's package carries, over a log in memory, with switches for
 * what goes wrong. It stands for the wire only: what a real server makes of its disk, its elections and its load, this does not show.
 */
export class WireServer {
  readonly log: WireLog
  readonly #cluster: readonly WireServer[]
  readonly #server = new Server()
  readonly #subscriptions = new Set<Reading>()
  readonly #appendCalls = new Set<Appending>()
  #cable: Cable | null = null
  leader = true
  /** A follower has the log up to here. */
  knows = Number.POSITIVE_INFINITY
  /** How often each method was called, and what of it asked for the leader. */
  readonly calls = { read: 0, readFromLeader: 0, append: 0, batchAppend: 0, gossip: 0 }
  /** The appends that arrived, by the ids of their events. */
  readonly arrived: string[][] = []
  /** The reads that arrived. */
  readonly reads: ReadReq[] = []
  /** Events written to subscriptions. */
  written = 0
  /** Of the next append: written, but the connection breaks instead of the answer. */
  loseAnswers = 0
  /** Appends arrive and are neither written nor answered. */
  mute = false
  /** Answers to the next appends that are none. */
  busy: ('not ready' | 'timeout')[] = []
  /** Between the end of the history and the live subscription. */
  goingLive: () => void = () => {}

  private constructor(log: WireLog, cluster: readonly WireServer[]) {
    this.log = log
    this.#cluster = cluster
  }

  /** @param log as a backup has it, empty unless given */
  static async start(log?: WireLog): Promise<WireServer> {
    const [node] = await WireServer.cluster(1, log)
    return node!
  }

  /** Nodes over one log; the first one leads. */
  static async cluster(size: number, log = new WireLog()): Promise<WireServer[]> {
    const nodes: WireServer[] = []
    for (let n = 0; n < size; n++) nodes.push(new WireServer(log, nodes))
    for (const [index, node] of nodes.entries()) {
      node.leader = index === 0
      await node.#listen()
    }
    return nodes
  }

  get port(): number {
    return this.#cable!.port
  }

  /** The connection string: of this node, or of all where there are several. */
  get url(): string {
    return `esdb://${this.#cluster.map(({ port }) => `127.0.0.1:${port}`).join(',')}?tls=false`
  }

  get openSubscriptions(): number {
    return this.#subscriptions.size
  }

  get openAppendCalls(): number {
    return this.#appendCalls.size
  }

  /** The cable before it: disconnect, refuse, freeze. */
  get cable(): Cable {
    return this.#cable!
  }

  /** Ends subscriptions, or appending calls, as a server that shuts down in order does: without an error. */
  end(what: 'subscriptions' | 'appends'): void {
    for (const call of what === 'subscriptions' ? this.#subscriptions : this.#appendCalls) call.end()
  }

  /** Lets the subscriptions go as one lets go a reader that does not keep up. */
  dropSlowReaders(): void {
    for (const call of this.#subscriptions) tooSlow(call)
  }

  /** Makes this node the leader of its cluster. */
  lead(): void {
    for (const node of this.#cluster) node.leader = node === this
    this.log.epoch()
  }

  async close(): Promise<void> {
    await this.#cable?.refuse()
    this.#server.forceShutdown()
  }

  async #listen(): Promise<void> {
    const streamsServer: Partial<IStreamsServer> = {
      read: call => this.#read(call),
      batchAppend: call => this.#batchAppend(call),
      append: (_, answer) => {
        this.calls.append++
        answer({ code: status.UNIMPLEMENTED })
      },
    }
    const featuresServer: IServerFeaturesServer = {
      getSupportedMethods: (_, answer) => {
        const methods = ['read', 'append', 'delete', 'tombstone', 'batchappend'].map(name =>
          new features.SupportedMethod().setServiceName('event_store.client.streams.streams').setMethodName(name),
        )
        answer(null, new features.SupportedMethods().setMethodsList(methods).setEventStoreServerVersion('23.10.8'))
      },
    }
    const gossipServer: IGossipServer = {
      read: (_, answer) => {
        this.calls.gossip++
        const { VNodeState } = gossip.MemberInfo
        const members = this.#cluster.map(node =>
          new gossip.MemberInfo()
            .setInstanceId(uuid(randomUUID()))
            .setTimeStamp(String(Date.now()))
            .setIsAlive(true)
            .setState(node.leader ? VNodeState.LEADER : VNodeState.FOLLOWER)
            .setHttpEndPoint(new gossip.EndPoint().setAddress('127.0.0.1').setPort(node.port)),
        )
        answer(null, new gossip.ClusterInfo().setMembersList(members))
      },
    }
    this.#server.addService(StreamsService, streamsServer as IStreamsServer)
    this.#server.addService(ServerFeaturesService, featuresServer)
    this.#server.addService(GossipService, gossipServer)
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      )
    })
    this.#cable = new Cable(port)
    await this.#cable.listen()
  }

  /** True where the call asked for the leader and was sent on to it. */
  #sentOn(call: Reading | Appending): boolean {
    if (call.metadata.get('requires-leader')[0] !== 'true' || this.leader) return false
    const leader = this.#cluster.find(node => node.leader)!
    const metadata = new Metadata()
    metadata.set('exception', 'not-leader')
    metadata.set('leader-endpoint-host', '127.0.0.1')
    metadata.set('leader-endpoint-port', String(leader.port))
    call.emit('error', { code: status.NOT_FOUND, details: 'Leader info available', metadata })
    return true
  }

  async #read(call: Reading): Promise<void> {
    this.calls.read++
    this.reads.push(call.request)
    if (call.metadata.get('requires-leader')[0] === 'true') this.calls.readFromLeader++
    call.on('error', () => {})
    if (this.#sentOn(call)) return
    const options = call.request.getOptions()!
    if (options.hasSubscription()) return this.#subscribe(call)
    const known = (event: { position: number }): boolean => this.leader || event.position <= this.knows
    const shown = (event: WireEvent): boolean => known(event) && this.log.readable(event)
    const count = Number(options.getCount())
    const backwards = options.getReadDirection() === streams.ReadReq.Options.ReadDirection.BACKWARDS
    if (options.hasStream()) {
      const name = nameOf(options.getStream()!.getStreamIdentifier())
      const events = this.log.stream(name).filter(known)
      if (events.length === 0) call.write(notFoundMessage(name))
      for (const event of (backwards ? events.toReversed() : events).slice(0, count)) call.write(eventMessage(event))
    } else {
      const events = backwards
        ? this.log.events.filter(shown).slice(-count).reverse()
        : this.log.page(placeOf(call.request) ?? { commit: 0, prepare: 0 }, count, Number.POSITIVE_INFINITY, shown).events
      for (const event of events) call.write(eventMessage(event))
    }
    call.end()
  }

  async #subscribe(call: Reading): Promise<void> {
    this.#subscriptions.add(call)
    const ended = (): boolean => this.#subscriptions.delete(call)
    call.on('close', ended).on('cancelled', ended).on('error', ended)
    const wrote = (): void => {
      this.written++
    }
    await serveSubscription(call, this.log, { wrote, goingLive: () => this.goingLive() })
  }

  #expected(name: string, options: InstanceType<typeof streams.BatchAppendReq.Options>): number {
    if (options.hasAny()) return this.log.stream(name).length - 1
    return options.hasNoStream() ? -1 : Number(options.getStreamPosition())
  }

  #batchAppend(call: Appending): void {
    this.calls.batchAppend++
    this.#appendCalls.add(call)
    let open = true
    const ended = (): void => {
      open = false
      this.#appendCalls.delete(call)
    }
    call.on('close', ended).on('cancelled', ended).on('error', ended)
    const options = new Map<string, InstanceType<typeof streams.BatchAppendReq.Options>>()
    const proposed = new Map<string, Proposed[]>()
    call.on('data', (request: BatchAppendReq) => {
      const id = request.getCorrelationId()!.getString()
      if (request.hasOptions()) options.set(id, request.getOptions()!)
      proposed.set(id, [...(proposed.get(id) ?? []), ...proposedOf(request)])
      if (!request.getIsFinal()) return
      const events = proposed.get(id)!
      this.arrived.push(events.map(event => event.id))
      if (this.mute || this.#sentOn(call)) return
      const name = nameOf(options.get(id)!.getStreamIdentifier())
      const expected = this.#expected(name, options.get(id)!)
      const late = options.get(id)!.getDeadline()!.toDate().getTime() <= performance.timeOrigin + performance.now()
      const busy = this.busy.shift() ?? (late ? 'timeout' : undefined)
      if (busy !== undefined) {
        call.write(busyMessage(request, name, busy === 'timeout'))
        return
      }
      const outcome = this.log.append(name, expected, events)
      if (this.loseAnswers > 0) {
        this.loseAnswers--
        this.cable.disconnect()
      } else if (open) call.write(answerMessage(request, name, expected, outcome))
    })
    call.on('end', () => call.end())
  }
}
