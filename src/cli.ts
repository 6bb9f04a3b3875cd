import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { EmbeddedEventStore } from './adapters/eventstore/embedded.ts'
import { landscape } from './adapters/media/landscape.ts'
import { connectionOf } from './adapters/postgres/embedded.ts'
import { openRoot } from './adapters/postgres/root.ts'
import { type Foundation, migrations, openFoundation, startApp } from './app.ts'
import { demo, demoSize } from './cli/demo.ts'
import { demoPassword } from './cli/invention.ts'
import { loadedUsername, openLoaded, usual } from './cli/load.ts'
import { allModels } from './cli/models.ts'
import { rebuildAll, verifyAll } from './cli/prints.ts'
import { exportKeys, exportLog, importKeys, importLog, refuseUsed } from './cli/transfer.ts'
import { type Config, readConfig } from './config.ts'
import { migrate } from './kernel/migrate.ts'
import { Problem } from './kernel/problem.ts'
import { registerConsumers } from './kernel/projecting/leases.ts'
import type { ReadModel } from './kernel/projecting/model.ts'
import { Secrets } from './kernel/secrets.ts'
import { sql } from './kernel/sql.ts'
import { StartupError } from './kernel/startup-error.ts'
import { consumerStatus } from './kernel/status.ts'
import { liveModel } from './projections/live/project.ts'
import { readModels } from './projections/models.ts'
import { keptSecret, openLog, type Setup, setUp } from './setup.ts'

const help = `Darkroom's operator's tool. It works on the same environment as the server (DATA_DIR, DATABASE_URL, SECRET, …), which may run or not.

  npm run darkroom -- status            every read model and reaction: version, position, lag, state
  npm run darkroom -- migrate           brings the database up to this release without starting the server
  npm run darkroom -- rebuild NAME…     makes read models anew beside the served ones and swaps them in; --all for every one. Where one ended on
                                        its way the next goes on from there; --restart begins anew
  npm run darkroom -- verify [NAME…]    compares read models with what the log gives, row for row: exits 0 where all are equal, else 1;
                                        --heal rebuilds those that differ, and exits 0 where they are equal then
  npm run darkroom -- demo [POSTS]      fills the network: 200 accounts, 2,000 posts (or POSTS, and a tenth as many accounts), likes, comments
  npm run darkroom -- demo --size ACCOUNTSxPOSTS   fills an empty network in bulk, of any size, pictures without files; the server must not run
  npm run darkroom -- export-log FILE [KEYS]   writes the whole log as NDJSON, and the wrapped keys apart; both, and the SECRET of then, make it again
  npm run darkroom -- import-log FILE [KEYS]   fills an empty log from them: a new epoch, read models rebuilt; the server must not run
  npm run darkroom -- resume NAME       tries the event again at which a paused read model or reaction stands
`

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

const print = (line: string): void => void process.stdout.write(`${line}\n`)

/** What the environment says, beside the running server or for this alone. */
async function prepare(): Promise<{ config: Config; setup: Setup }> {
  const config = readConfig({ ...process.env, LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn' })
  const running = config.databaseUrl === null ? await connectionOf(config.dataDir) : null
  if (running === null) return { config, setup: await setUp(config) }
  const secret = config.secret ?? (await keptSecret(config.dataDir))
  const setup = {
    log: openLog(config),
    databaseUrl: running,
    secret,
    mediaDir: join(config.dataDir, 'media'),
    close: async () => {},
  }
  return { config, setup }
}

/** Log, keys and read models. */
async function open(): Promise<{ foundation: Foundation; secrets: Secrets; close(): Promise<void> }> {
  const { config, setup } = await prepare()
  try {
    const secrets = new Secrets(setup.secret, config.secretPrevious)
    const foundation = await openFoundation({ ...setup, config, secrets, connections: { log: 3, models: 4 } })
    return {
      foundation,
      secrets,
      async close() {
        await foundation.close()
        await setup.close()
      },
    }
  } catch (error) {
    await setup.close()
    throw error
  }
}

/** The models of these names. @throws StartupError for one that is none */
function named(names: readonly string[]): readonly ReadModel[] {
  return names.map(name => {
    const model = readModels.find(model => model.name === name)
    if (model === undefined)
      throw new StartupError(`There is no read model ${name}. There are: ${readModels.map(({ name }) => name).join(', ')}.`)
    return model
  })
}

async function showStatus({ db, store }: Foundation): Promise<number> {
  const head = await store.head()
  const consumers = await consumerStatus(db, [...readModels, liveModel], head)
  print(`The log is at position ${head}.`)
  for (const { name, kind, version, position, lag, state, error, rebuild } of consumers) {
    const extra = [
      rebuild === null
        ? ''
        : rebuild.running
          ? `rebuild: ${rebuild.position} of ${rebuild.target}, ${rebuild.eventsPerSecond} events/s, ${rebuild.secondsLeft ?? '?'} s left`
          : `a rebuild ended at ${rebuild.position} of ${rebuild.target}: rebuild ${name} goes on`,
      error === null ? '' : `${error.type} at ${error.position}: ${error.message}`,
    ]
    print(
      [name.padEnd(28), kind.padEnd(9), `v${version}`, String(position).padStart(10), `lag ${lag}`, state, ...extra]
        .filter(part => part !== '')
        .join('  '),
    )
  }
  return consumers.some(({ state }) => state === 'paused') ? 1 : 0
}

async function resume({ db }: Foundation, name: string): Promise<number> {
  const key = readModels.find(model => model.name === name)?.key ?? name
  const [row] = await db.run(
    sql`update kernel.consumers set state = 'running', error = null where key = ${key} and state = 'paused' returning key`,
  )
  print(row === undefined ? `${name} is not paused.` : `${name} tries again within seconds.`)
  return row === undefined ? 1 : 0
}

async function exportAll({ db, store }: Foundation, file: string, keysFile: string | undefined): Promise<number> {
  print(`${await exportLog(store, file)} events in ${file}`)
  if (keysFile !== undefined)
    print(
      `${await exportKeys(db, keysFile)} keys in ${keysFile}: they open under the SECRET of now alone. Keep them apart from the log.`,
    )
  return 0
}

async function importAll(foundation: Foundation, secrets: Secrets, file: string, keysFile: string | undefined): Promise<number> {
  const { db, store } = foundation
  await refuseUsed(foundation)
  if (keysFile !== undefined) print(`${await importKeys(db, keysFile)} keys`)
  await openRoot(db, secrets)
  print(`${await importLog({ db, store }, allModels, file, store instanceof EmbeddedEventStore ? 200 : 1)} events`)
  await migrate(db, [], allModels)
  await registerConsumers(db, allModels, await store.head())
  return rebuildAll(foundation, readModels)
}

/** Through the commands, beside the running server or alone. */
async function fillWithDemo(args: readonly string[]): Promise<number> {
  const posts = args[0] === undefined ? demoSize.posts : Number(args[0])
  if (args.length > 1 || !Number.isSafeInteger(posts) || posts < 10 || posts > 1_000_000) {
    print('demo takes one number of posts, from 10 to 1000000.')
    return 1
  }
  const { config, setup } = await prepare()
  try {
    const app = await startApp({
      ...setup,
      config,
      version,
      publicUrl: config.publicUrl ?? `http://${config.host}:${config.port}`,
    })
    try {
      const run = Math.floor(Date.now() / 1_000).toString(36)
      const size = args[0] === undefined ? demoSize : { posts, accounts: Math.max(5, Math.ceil(posts / 10)) }
      const { usernames, likes, comments } = await demo(app.commands, size, run, landscape)
      print(`${likes} likes, ${comments} comments. Sign in as ${usernames[0]} with the password "${demoPassword}".`)
      return 0
    } finally {
      await app.stop()
    }
  } finally {
    await setup.close()
  }
}

/** In bulk, and the read models from it. */
async function loadDemo(text: string | undefined): Promise<number> {
  const [, accounts, posts] = (/^(\d{1,7})x(\d{1,8})$/.exec(text ?? '') ?? []).map(Number)
  if (accounts === undefined || posts === undefined || accounts < 2) {
    print('demo --size takes accounts and posts, as in --size 10000x200000.')
    return 1
  }
  const { config, setup } = await prepare()
  try {
    const foundation = await openLoaded({ config, setup, models: allModels }, { accounts, posts, ...usual })
    try {
      await rebuildAll(foundation, readModels)
    } finally {
      await foundation.close()
    }
    print(`Sign in as ${loadedUsername(0)} with the password "${demoPassword}".`)
    return 0
  } finally {
    await setup.close()
  }
}

/** What may stand beside names. */
const flags: Readonly<Record<string, readonly string[]>> = { rebuild: ['--all', '--restart'], verify: ['--all', '--heal'] }

async function run(command: string | undefined, given: readonly string[]): Promise<number> {
  const known = ['status', 'migrate', 'rebuild', 'verify', 'resume', 'demo', 'export-log', 'import-log']
  if (command === undefined || !known.includes(command)) {
    print(help)
    return command === undefined || command === 'help' || command === '--help' ? 0 : 1
  }
  const flagged = new Set(given.filter(arg => flags[command]?.includes(arg)))
  const args = given.filter(arg => !flagged.has(arg))
  const all = args.length === 0 && (command === 'verify' || flagged.has('--all'))
  if (
    (command === 'rebuild' && args.length === 0 && !all) ||
    (command === 'resume' && args.length !== 1) ||
    (command.endsWith('-log') && (args.length < 1 || args.length > 2))
  ) {
    print(help)
    return 1
  }
  if (command === 'demo') return args[0] === '--size' ? loadDemo(args[1]) : fillWithDemo(args)
  const models = command === 'rebuild' || command === 'verify' ? (all ? readModels : named(args)) : []
  const { foundation, secrets, close } = await open()
  try {
    const done = await migrate(foundation.db, migrations, command === 'migrate' ? allModels : [])
    switch (command) {
      case 'status':
        return await showStatus(foundation)
      case 'migrate':
        print(done.length === 0 ? 'Nothing to do: the database is of this release.' : `Done: ${done.join(', ')}`)
        return 0
      case 'rebuild':
        await openRoot(foundation.db, secrets)
        return await rebuildAll(foundation, models, flagged.has('--restart') ? 'restart' : 'resume')
      case 'verify':
        await openRoot(foundation.db, secrets)
        return await verifyAll(foundation, models, flagged.has('--heal'))
      case 'export-log':
        return await exportAll(foundation, args[0]!, args[1])
      case 'import-log':
        return await importAll(foundation, secrets, args[0]!, args[1])
      default:
        return await resume(foundation, args[0]!)
    }
  } finally {
    await close()
  }
}

try {
  process.exitCode = await run(process.argv[2], process.argv.slice(3))
} catch (error) {
  if (!(error instanceof StartupError || error instanceof Problem)) throw error
  const cause = error instanceof Problem && error.cause instanceof Error ? ` (${error.cause.message})` : ''
  process.stderr.write(`${error.message}${cause}\n`)
  process.exitCode = 1
}
