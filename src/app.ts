import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import type { Hono } from 'hono'
import type { Logger } from 'pino'
import { InProcessBus } from './adapters/bus/in-process.ts'
import { NatsBus } from './adapters/bus/nats.ts'
import { accessTokens } from './adapters/crypto/access-tokens.ts'
import { luciaSessions } from './adapters/crypto/lucia.ts'
import { passwords } from './adapters/crypto/passwords.ts'
import { EmbeddedEventStore, logSchema } from './adapters/eventstore/embedded.ts'
import { eventStoreProblem, isTransient as isLogAway, openEventStoreDb } from './adapters/eventstore/eventstoredb.ts'
import { MailDelivery } from './adapters/mail/delivery.ts'
import { outbox } from './adapters/mail/outbox.ts'
import { smtpPost } from './adapters/mail/smtp.ts'
import { imaging } from './adapters/media/imaging.ts'
import { DatabaseClock } from './adapters/postgres/clock.ts'
import {
  answerWithin,
  busyness,
  closePool,
  database,
  databaseProblem,
  isTransient,
  openPipeline,
  openPool,
} from './adapters/postgres/database.ts'
import { erasuresSeenSchema, keysSchema, PostgresKeyStore, rootSchema } from './adapters/postgres/keys.ts'
import { openRoot } from './adapters/postgres/root.ts'
import { folderStorage } from './adapters/storage/folder.ts'
import { s3Storage } from './adapters/storage/s3.ts'
import { featureRoutes } from './api/features.ts'
import { liveParts } from './api/live.ts'
import { withParts } from './api/middleware.ts'
import { operationRoutes } from './api/operations.ts'
import { outboxRoutes } from './api/outbox.ts'
import type { Commands } from './commands/context.ts'
import { sessionRows } from './commands/sessions.ts'
import type { Config } from './config.ts'
import { allEvents } from './domain/events.ts'
import { Codec } from './kernel/codec.ts'
import { Positions, Tokens } from './kernel/consistency.ts'
import { createExecute } from './kernel/execute.ts'
import { httpApp } from './kernel/http/app.ts'
import { documentation } from './kernel/http/documentation.ts'
import type { HttpEnv } from './kernel/http/env.ts'
import { guessLimiter } from './kernel/http/guesses.ts'
import { handshakeLimits } from './kernel/http/rate-limit.ts'
import { acceptWebSockets } from './kernel/live/websocket.ts'
import { type Connections, Metrics } from './kernel/metrics.ts'
import { epochs, migrate, refuseLostLog } from './kernel/migrate.ts'
import { partsInUse } from './kernel/parts.ts'
import type { Bus } from './kernel/ports/bus.ts'
import type { Clock } from './kernel/ports/clock.ts'
import type { EventStore } from './kernel/ports/event-store.ts'
import type { Storage } from './kernel/ports/storage.ts'
import { modelConsumer, reactionConsumer } from './kernel/projecting/consumers.ts'
import { beginningOf, filled } from './kernel/projecting/filling.ts'
import { GroupCommit } from './kernel/projecting/group-commit.ts'
import { registerConsumers } from './kernel/projecting/leases.ts'
import { Presence } from './kernel/projecting/presence.ts'
import { Runner } from './kernel/projecting/runner.ts'
import { kernelMigrations } from './kernel/projecting/schema.ts'
import { Secrets } from './kernel/secrets.ts'
import type { Database } from './kernel/sql.ts'
import { StartupError } from './kernel/startup-error.ts'
import { watch } from './kernel/status.ts'
import { startSweeping } from './kernel/sweeping.ts'
import { TimerLoop, timersModel } from './kernel/timers.ts'
import { Tracing } from './kernel/tracing.ts'
import { liveModel } from './projections/live/project.ts'
import { readModels, wideEvents } from './projections/models.ts'
import { destroyErasedKeys } from './reactions/accounts.ts'
import { reactionsOf, sweepsOf, timersOf } from './reactions/all.ts'
import type { Reading } from './reading/context.ts'
import { keptRows } from './reading/kept.ts'

/** State that is migrated, in order; a step once released never changes. */
export const migrations = [
  ...kernelMigrations,
  { name: 'keys', ddl: keysSchema },
  { name: 'log', ddl: logSchema },
  { name: 'keys_erasures_seen', ddl: erasuresSeenSchema },
  { name: 'keys_root', ddl: rootSchema },
]

export type AppOptions = {
  readonly config: Config
  readonly version: string
  readonly databaseUrl: string
  readonly secret: string
  /** Where pictures are kept, but for S3_URL. */
  readonly mediaDir: string
  readonly publicUrl: string
  readonly log: Logger
  /** The database's unless given. */
  readonly clock?: Clock
  readonly bus?: Bus
  /** Milliseconds between heartbeats of the live channel, 25 s by default. */
  readonly heartbeatMs?: number
  /** Ends a start that waits. */
  readonly stopping?: AbortSignal
  /** What a fault test puts around a part, to show that it would see the part fail. */
  readonly around?: { readonly store?: (store: EventStore) => EventStore; readonly commands?: (commands: Commands) => Commands }
}

/** The whole server but its socket: composition of kernel, adapters and features. */
export type App = {
  readonly fetch: (request: Request, env?: HttpEnv['Bindings']) => Response | Promise<Response>
  /** The routes, for whoever describes or checks them. */
  readonly routes: Hono<HttpEnv>
  readonly commands: Commands
  readonly db: Database
  readonly store: EventStore
  readonly codec: Codec
  readonly timers: TimerLoop
  /** Adds the live channel's listener of `upgrade`. */
  acceptWebSockets(server: Server): void
  /** Tells live clients to come back later, so that the server's sockets can close. */
  endLive(): Promise<void>
  /** Ends everything after the work that is under way. */
  stop(): Promise<void>
}

/** What the log gives, for the tool that rebuilds and verifies. */
export type Foundation = {
  /** For what may take as long as it takes. */
  readonly db: Database
  /** For what somebody waits for. */
  readonly brief: Database
  /** The same, where nothing takes a lock. */
  readonly reads: Database
  readonly store: EventStore
  readonly codec: Codec
  readonly keys: PostgresKeyStore
  /** How busy its connections are. */
  connections(): Connections[]
  close(): Promise<void>
}

/** Connections that reads share: one process keeps no more of them busy. */
const pipelines = 4

/** Database, log, keys: what both the server and the operator's tool stand on. @throws StartupError where the database cannot be reached */
export async function openFoundation(
  options: Pick<AppOptions, 'databaseUrl' | 'config' | 'log'> & {
    secrets: Secrets
    connections?: { log: number; models: number }
  },
): Promise<Foundation> {
  const { databaseUrl, config, log, secrets, connections = { log: 8, models: 24 } } = options
  const broken = (error: Error): void => log.warn({ error: String(error) }, 'a connection to the database broke')
  // Apart, so that many readers never keep an append waiting for a connection.
  const logPool = openPool(databaseUrl, connections.log, broken)
  const pool = openPool(databaseUrl, connections.models, broken)
  try {
    await logPool.query('select 1')
  } catch (error) {
    await Promise.all([closePool(logPool), closePool(pool)])
    const { host } = new URL(databaseUrl)
    throw new StartupError(
      `The database at ${host} cannot be used (${(error as Error).message}): start it, or check DATABASE_URL.`,
      { cause: error },
    )
  }
  const eventStoreAt = (url: string): Promise<EventStore> =>
    openEventStoreDb({ url, namespace: config.namespace, log }).catch(async (error: unknown) => {
      await Promise.all([closePool(logPool), closePool(pool)])
      throw new StartupError(
        `The event store of EVENTSTORE_URL cannot be used (${(error as Error).message}): start it, or check the URL.`,
        { cause: error },
      )
    })
  const db = database(pool)
  const brief = database(pool, answerWithin)
  const pipeline = openPipeline(databaseUrl, pipelines, broken)
  const store =
    config.eventStoreUrl === null
      ? new EmbeddedEventStore(logPool, config.namespace, broken)
      : await eventStoreAt(config.eventStoreUrl)
  const keys = new PostgresKeyStore(brief, () => secrets.key('master'))
  return {
    db,
    brief,
    reads: database(pool, answerWithin, pipeline),
    store,
    keys,
    codec: new Codec(allEvents, keys),
    connections: () => [
      { name: 'log', ...busyness(logPool) },
      { name: 'models', ...busyness(pool) },
    ],
    async close() {
      await store.close()
      await Promise.all([closePool(logPool), closePool(pool), pipeline.close()])
    },
  }
}

const openBus = async ({ natsUrl, subjectPrefix }: Config, log: Logger): Promise<Bus> => {
  const onError = (error: unknown): void => log.error({ err: error }, 'a handler of the bus failed')
  return natsUrl === null ? new InProcessBus(onError) : NatsBus.connect({ url: natsUrl, prefix: subjectPrefix, log, onError })
}

const openStorage = ({ config: { s3Url, namespace }, mediaDir, log }: AppOptions, clock: Clock): Promise<Storage> =>
  s3Url === null ? folderStorage(mediaDir) : s3Storage({ url: s3Url, prefix: namespace, log, clock })

/** Loaded where traces are told alone: what makes them is as large as some of the rest. */
async function openTracing({ config, log, version }: AppOptions): Promise<Tracing | null> {
  if (config.tracing === null) return null
  const { otlpSpans } = await import('./adapters/tracing/otlp.ts')
  return new Tracing(otlpSpans({ ...config.tracing, version, role: config.role, log }))
}

/** Starts what the role asks for, everything but the listening socket. @throws StartupError */
export async function startApp(options: AppOptions): Promise<App> {
  const { config, log, version, publicUrl } = options
  const secrets = new Secrets(options.secret, config.secretPrevious)
  const foundation = await openFoundation({ ...options, secrets })
  const { db, brief, reads, store, codec, keys } = foundation
  const ending: (() => Promise<unknown>)[] = [() => foundation.close()]
  // Whatever one part says at its end, the others are ended too.
  const stop = async (): Promise<void> => {
    for (const end of ending.splice(0).reverse()) {
      try {
        await end()
      } catch (error) {
        log.warn({ error: String(error) }, 'a part did not end cleanly')
      }
    }
  }
  try {
    let commands: Commands
    const timerList: Parameters<typeof timersModel>[0] = timersOf(() => commands)
    const timers = timersModel(timerList)
    const models = [...readModels, liveModel, timers]
    await migrate(db, migrations, models)
    if (await openRoot(db, secrets)) log.info({}, 'SECRET was changed: the root of the lasting keys is kept under the new one')
    const { epoch, liveEpoch } = await epochs(db)
    await refuseLostLog(db, store)

    const metrics = new Metrics()
    ending.push(async () => metrics.registry.clear())
    const tracing = await openTracing(options)
    if (tracing !== null) ending.push(() => tracing.spans.close())
    const clock = options.clock ?? (await DatabaseClock.start(brief, log))
    if (clock instanceof DatabaseClock) ending.push(() => clock.stop())
    const bus = options.bus ?? (await openBus(config, log))
    ending.push(() => bus.close())
    const positions = new Positions(brief, bus)
    ending.push(() => positions.close())
    const tokens = new Tokens(secrets, epoch)
    const written = options.around?.store?.(store) ?? store
    const plain = createExecute(metrics.timed(tracing === null ? written : tracing.store(written)), codec, clock)
    const execute = tracing === null ? plain : tracing.execute(plain)
    const reading: Reading = { db: reads, clock, secrets, publicUrl, kept: keptRows() }
    const pictures = imaging()
    ending.push(() => pictures.close())
    const hashing = passwords()
    ending.push(() => hashing.close())
    const parts: Commands = {
      execute,
      reading,
      keys,
      passwords: hashing,
      accessTokens: accessTokens(secrets, clock),
      sessions: luciaSessions(sessionRows(execute, reading), clock),
      guesses: guessLimiter(brief, { key: secrets.key('guesses'), on: config.rateLimit }),
      imaging: pictures,
      storage: await openStorage(options, clock),
      settled: (position, of) =>
        positions.wait(
          of.map(({ key }) => key),
          position,
        ),
    }
    commands = options.around?.commands?.(parts) ?? parts
    await destroyErasedKeys(store, keys)

    const does = (role: Config['role']): boolean => config.role === 'all' || config.role === role
    const post = config.smtp === null ? null : smtpPost(config.smtp.url, config.smtp.from)
    const delivery = post !== null && does('reactor') ? new MailDelivery({ db: brief, clock, log, post, tracing }) : null
    const mail = outbox(brief, clock, post === null ? null : () => delivery?.nudge(), tracing)
    const parted = (error: unknown): void =>
      log.warn({ error: String(error) }, 'read models could not commit together, and try again by themselves')
    const together = { commits: new GroupCommit(db, parted), wide: wideEvents }
    const projecting = models.map(model => modelConsumer(model, codec, db, bus, tracing, together))
    const reacting = reactionsOf({ commands, mail, store }).map(reaction => reactionConsumer(reaction, codec, db, clock, tracing))
    // All of them, whoever starts first: a reaction begins at what comes after the deployment's first start, not after its own.
    const head = await store.head()
    await registerConsumers(db, [...projecting, ...reacting], head, await beginningOf(db, store, head))
    const holder = randomUUID()
    const presence = new Presence(db, holder, models, log)
    await presence.start()
    ending.push(() => presence.stop())
    const consumers = [...(does('projector') ? projecting : []), ...(does('reactor') ? reacting : [])]
    if (consumers.length > 0) {
      const runner = new Runner(
        {
          store,
          db: brief,
          bus,
          log,
          holder,
          isTransient: error => isTransient(error) || isLogAway(error),
          failed: metrics.failed,
        },
        consumers,
      )
      ending.push(() => runner.stop())
      await runner.start()
    }
    if (does('api')) {
      const keys = readModels.map(({ key }) => key)
      await filled(db, keys, log, options.stopping)
    }
    const timerLoop = new TimerLoop({ db: brief, clock, log, timers: timerList, model: timers })
    if (delivery !== null) {
      delivery.start()
      ending.push(() => delivery.stop())
    }
    if (does('reactor')) {
      timerLoop.start()
      ending.push(() => timerLoop.stop())
      ending.push(startSweeping(sweepsOf({ commands, mail }), log))
    }
    const heartbeatMs = options.heartbeatMs ?? 25_000
    const limits = handshakeLimits(config.rateLimit, config.trustedProxies)
    const live = does('api') ? liveParts({ commands, bus, log, liveEpoch, positions, heartbeatMs, limits, tracing }) : null
    if (live !== null) {
      ending.push(() => live.hub.stop())
      await live.hub.start()
    }

    const inUse = partsInUse({ store, db: brief, bus, storage: parts.storage, post: delivery === null ? null : post })
    const watching = watch({ store, db: brief, models, timers, parts: inUse })
    metrics.watch({
      watch: watching,
      connections: foundation.connections,
      reconnects: () => store.reconnects ?? 0,
      lostSpans: () => tracing?.spans.lost ?? 0,
      liveClients: () => live?.hub.size ?? 0,
      liveBehind: async () => live?.hub.behind() ?? 0,
    })
    const app = httpApp({
      log,
      publicUrl,
      corsOrigins: config.corsOrigins,
      trustedProxies: config.trustedProxies,
      rateLimit: config.rateLimit,
      tracing,
      classify: error => databaseProblem(error) ?? eventStoreProblem(error),
      observe: metrics.answered,
    })
    app.use(withParts({ commands, reading, tokens }))
    if (live !== null) for (const routes of [...featureRoutes, live.routes]) app.route('/v1', routes)
    app.route(
      '/',
      operationRoutes({
        version,
        production: config.production,
        opsToken: config.opsToken,
        role: config.role,
        registry: metrics.registry,
        watch: watching,
      }),
    )
    if (live !== null) {
      app.route('/', outboxRoutes({ db: brief, production: config.production }))
      app.route('/', documentation(app, { version, publicUrl }))
    }

    return {
      fetch: app.fetch,
      routes: app,
      commands,
      db,
      store,
      codec,
      timers: timerLoop,
      acceptWebSockets(server) {
        if (live === null) return
        const end = acceptWebSockets(server, { hub: live.hub, log, authenticate: live.authenticate })
        ending.push(async () => end())
      },
      endLive: async () => live?.hub.stop(),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
