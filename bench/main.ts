import { writeFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { loaded, makeFolder, removeFolder, type Sizes, startDeployment } from './deployment.ts'
import { startBare, startGenerator } from './processes.ts'
import type { Line, Parts, Row } from './row.ts'
import { likeOverEventStoreDb } from './rows/eventstoredb.ts'
import { fanningOut } from './rows/fan-out.ts'
import { large } from './rows/large.ts'
import { latency, latencyOverNats } from './rows/latency.ts'
import { imaging, signIn } from './rows/meanwhile.ts'
import { pictures } from './rows/pictures.ts'
import { feed, reads } from './rows/reads.ts'
import { rebuilding } from './rows/rebuilding.ts'
import { socketMemory, sockets } from './rows/sockets.ts'
import { like, post } from './rows/writes.ts'
import { cpuTable, ratioOf, table } from './table.ts'

const rows: readonly Row[] = [socketMemory, feed, reads, pictures, latency, sockets, imaging, signIn, like, post]
const usual = [...new Set(rows.map(({ name }) => name)), 'rebuild', 'fan-out']
const names = [...usual, 'large']

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    only: { type: 'string' },
    accounts: { type: 'string' },
    posts: { type: 'string' },
    followees: { type: 'string' },
    seconds: { type: 'string' },
    sockets: { type: 'string' },
    large: { type: 'boolean', default: false },
  },
})

function numberOf(name: 'accounts' | 'posts' | 'followees' | 'seconds' | 'sockets', otherwise: number): number {
  const number = values[name] === undefined ? otherwise : Number(values[name])
  if (!(number >= 1)) throw new Error(`--${name} takes a number from 1`)
  return number
}

const sizes: Sizes = {
  accounts: numberOf('accounts', 10_000),
  posts: numberOf('posts', 200_000),
  followees: numberOf('followees', 100),
  seconds: numberOf('seconds', 1.5),
  sockets: numberOf('sockets', 5_000),
}
const chosen = values.only?.split(',') ?? (values.large ? names : usual)
for (const name of chosen) if (!names.includes(name)) throw new Error(`There is no ${name}. There are: ${names.join(', ')}.`)
const only = (name: string): boolean => chosen.includes(name)

const began = performance.now()
const say = (text: string): void =>
  void process.stderr.write(`${((performance.now() - began) / 1_000).toFixed(0).padStart(4)} s  ${text}\n`)

const lines: Line[] = []

/** All rows on one network. */
async function ordinary(folder: string, parts: Omit<Parts, 'deployment'>): Promise<void> {
  say(`loads ${sizes.accounts} accounts, ${sizes.followees} followees each, ${sizes.posts} posts`)
  await loaded(folder, sizes, async (foundation, url) => {
    say('rebuilds the read models')
    lines.push(...(await rebuilding(foundation, url, only)))
    if (!only('fan-out')) return
    say('fan-out')
    lines.push(...(await fanningOut(foundation)))
  })
  const served = rows.filter(({ name }) => only(name))
  if (served.length === 0) return
  const deployment = await startDeployment(folder, sizes)
  try {
    for (const row of served) {
      say(row.name)
      lines.push(...(await row.run({ ...parts, deployment })))
    }
    const logged = deployment.server
      .output()
      .split('\n')
      .filter(line => line.startsWith('{'))
    if (logged.length > 0) say(`the server logged ${logged.length} warnings, the first: ${logged[0]}`)
  } finally {
    await deployment.stop()
  }
  if (!only('latency')) return
  say('latency over NATS')
  lines.push(...(await latencyOverNats(folder, parts)))
}

async function report(): Promise<void> {
  const machine = {
    cpus: cpus().length,
    model: cpus()[0]?.model ?? '',
    node: process.version,
    load: loadavg().map(load => Math.round(load * 10) / 10),
  }
  process.stdout.write(
    `${table(lines)}\n${cpuTable(lines)}\n${machine.cpus} x ${machine.model}, Node ${machine.node}, load average at the end ${machine.load.join(' ')}; ` +
      `${sizes.accounts} accounts x ${sizes.followees} followees x ${sizes.posts} posts, medians of three, 32 in flight\n`,
  )
  if (values.json !== undefined) {
    const withRatios = lines.map(line => ({ ...line, ratio: ratioOf(line) }))
    await writeFile(values.json, `${JSON.stringify({ sizes, machine, lines: withRatios }, null, 2)}\n`)
  }
}

const folder = await makeFolder()
const ending: (() => Promise<unknown>)[] = [() => removeFolder(folder)]
process.once('SIGINT', () => say('ends after what is under way; once more to end at once'))
try {
  const generator = startGenerator()
  ending.push(() => generator.end())
  const bare = await startBare()
  ending.push(() => bare.end())
  if (usual.some(only)) await ordinary(folder, { sizes, generator, bare })
  if (only('like')) {
    say('like over EventStoreDB')
    lines.push(...(await likeOverEventStoreDb({ sizes, generator, bare })))
  }
  if (only('large')) lines.push(...(await large(sizes, { generator, bare }, say)))
} finally {
  for (const end of ending.reverse()) await end()
  say('done')
  // Also where a row failed: what was measured before it is worth its time.
  if (lines.length > 0) await report()
}
