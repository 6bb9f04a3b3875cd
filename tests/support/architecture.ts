import { posix } from 'node:path'

/** Path from the repository's root → text. */
export type Sources = ReadonlyMap<string, string>

type Import = {
  readonly from: string /** A path from the root, or the name of a package. */
  readonly to: string
  readonly typeOnly: boolean
}

/** Who may import whom. Files right in src are layers of their own. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  kernel: ['kernel'],
  domain: ['domain', 'kernel'],
  projections: ['projections', 'domain', 'kernel'],
  reading: ['reading', 'projections', 'domain', 'kernel'],
  commands: ['commands', 'reading', 'domain', 'kernel'],
  reactions: ['reactions', 'commands', 'reading', 'domain', 'kernel'],
  api: ['api', 'commands', 'reading', 'domain', 'kernel'],
  adapters: ['adapters', 'kernel'],
  'config.ts': ['kernel'],
  'setup.ts': ['adapters', 'config.ts', 'kernel'],
  'app.ts': ['adapters', 'api', 'commands', 'config.ts', 'domain', 'kernel', 'projections', 'reactions', 'reading'],
  'main.ts': ['app.ts', 'config.ts', 'kernel', 'setup.ts'],
  'cli.ts': ['adapters', 'app.ts', 'cli', 'config.ts', 'kernel', 'projections', 'setup.ts'],
  // The tool's commands that are more than a few lines; like app.ts they may put anything together.
  cli: [
    'adapters',
    'app.ts',
    'cli',
    'commands',
    'config.ts',
    'domain',
    'kernel',
    'projections',
    'reactions',
    'reading',
    'setup.ts',
  ],
}

/** The packages of layers that have few; of the kernel all but drivers. */
const mayUse: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  projections: [],
  reading: ['valibot'],
  commands: ['node:timers/promises'],
  reactions: [],
  api: ['hono', 'node:crypto', 'node:http', 'prom-client', 'valibot'],
}

/** What talks to the world outside, or needs a native part: behind a port, in an adapter. */
const drivers = /^(pg|nats|nodemailer|aws4fetch|sharp|lucia|jose|heic-decode|@eventstore\/.*|@node-rs\/.*|node:child_process)$/

/** The kernel's parts that the pure domain runs on; of the rest it may know the types. */
const domainRunsOn = ['decider', 'events', 'ids', 'problem'].map(name => `src/kernel/${name}.ts`)

const statement = /^[ \t]*(?:import|export)\s+(type\s+)?(?:[\w$*{}\s,]+?\s+from\s+)?'([^'\n]+)'/gm
const dynamic = /\bimport\(\s*'([^'\n]+)'\s*\)/g

export function importsOf(sources: Sources): Import[] {
  const found: Import[] = []
  for (const [from, text] of sources) {
    const target = (name: string): string => (name.startsWith('.') ? posix.join(posix.dirname(from), name) : name)
    for (const [, type, name] of text.matchAll(statement)) found.push({ from, to: target(name!), typeOnly: type !== undefined })
    for (const [, name] of text.matchAll(dynamic)) found.push({ from, to: target(name!), typeOnly: false })
  }
  return found
}

const isOurs = (path: string): boolean => path.startsWith('src/')
const layerOf = (path: string): string => path.split('/')[1]!
const inSource = (sources: Sources): Import[] => importsOf(sources).filter(({ from }) => isOurs(from))

/** Imports that go against the layers. */
export function layerFindings(sources: Sources): string[] {
  return inSource(sources).flatMap(({ from, to, typeOnly }) => {
    const layer = layerOf(from)
    const allowed = mayImport[layer]
    if (allowed === undefined) return [`${from}: ${layer} is no layer of the design`]
    const why = isOurs(to) ? strangeImport(sources, from, to, typeOnly, allowed) : strangePackage(layer, to, typeOnly)
    return why === null ? [] : [`${from} imports ${to}: ${why}`]
  })
}

function strangeImport(sources: Sources, from: string, to: string, typeOnly: boolean, allowed: readonly string[]): string | null {
  const [layer, other] = [layerOf(from), layerOf(to)]
  if (!allowed.includes(other)) return `${layer} may import ${allowed.join(', ')}`
  if (layer === 'domain' && other === 'kernel' && !typeOnly && !domainRunsOn.includes(to))
    return 'of this the domain may know types only'
  if (layer === 'api' && other === 'domain' && !typeOnly && /\b(decider|eventType)</.test(sources.get(to) ?? ''))
    return 'routes take constants and types of the domain, not its decisions'
  if (
    !typeOnly &&
    !['api', 'cli', 'kernel', 'adapters'].includes(layer) &&
    to.startsWith('src/kernel/http/') &&
    !layer.endsWith('.ts')
  )
    return 'only routes know HTTP'
  if (
    layer === 'projections' &&
    /\/(project|tables)\.ts$/.test(from) &&
    other === 'projections' &&
    posix.dirname(from) !== posix.dirname(to)
  )
    return 'a model writes and reads its own schema only; queries may join'
  return null
}

function strangePackage(layer: string, name: string, typeOnly: boolean): string | null {
  const allowed = mayUse[layer]
  if (allowed !== undefined && !allowed.includes(name))
    return allowed.length === 0 ? `${layer} uses no packages` : `${layer} uses ${allowed.join(', ')}`
  return layer === 'kernel' && !typeOnly && drivers.test(name) ? 'drivers live in adapters' : null
}

/** Clock, randomness and the world outside, in the domain. */
export function purityFindings(sources: Sources): string[] {
  const impure =
    /\b(Date\.now\(|new Date\(\)|Math\.random\(|performance\.|process\.|setTimeout\(|setInterval\(|fetch\(|console\.|async |await |crypto\.|newId\()/
  return [...sources].flatMap(([path, text]) => {
    const [, found] = path.startsWith('src/domain/') ? (impure.exec(withoutComments(text)) ?? []) : []
    return found === undefined ? [] : [`${path}: ${found.trim()} in the domain: it comes with the command`]
  })
}

/**
 * Answers, or fields of them, that are made past kernel/http/answer.ts: what was put on the answer before would be lost. And `c.var`, which makes an object of
 * all variables each time: `c.get` does not.
 */
export function answerFindings(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) => {
    const [found] =
      (path.startsWith('src/') && /\bc\.(?:(?:json|body|text|html|redirect|header)\(|var\b)/.exec(withoutComments(text))) || []
    return found === undefined
      ? []
      : [
          `${path}: ${found}: answers are made by \`json\` and \`send\`, their fields put on by \`carry\`, variables read by \`c.get\``,
        ]
  })
}

/** Cycles between layers, between the kernel's folders, and between files that need each other to run. */
export function cycleFindings(sources: Sources): string[] {
  const imports = inSource(sources).filter(({ to }) => isOurs(to))
  const folder = (path: string): string | null =>
    /^src\/kernel\/\w+\//.test(path) ? path.split('/').slice(0, 3).join('/') : null
  const graph = (nodeOf: (path: string) => string | null, of: readonly Import[]): Map<string, Set<string>> => {
    const edges = new Map<string, Set<string>>()
    for (const { from, to } of of) {
      const [a, b] = [nodeOf(from), nodeOf(to)]
      if (a !== null && b !== null && a !== b) edges.set(a, (edges.get(a) ?? new Set()).add(b))
    }
    return edges
  }
  const values = imports.filter(({ typeOnly }) => !typeOnly)
  return [cycle(graph(layerOf, imports)), cycle(graph(folder, imports)), cycle(graph(path => path, values))].filter(
    found => found !== null,
  )
}

/** One cycle, as `a → b → a`; null where there is none. */
function cycle(edges: ReadonlyMap<string, ReadonlySet<string>>): string | null {
  const done = new Set<string>()
  const way: string[] = []
  const visit = (node: string): string | null => {
    if (way.includes(node)) return [...way.slice(way.indexOf(node)), node].join(' → ')
    if (done.has(node)) return null
    way.push(node)
    for (const next of edges.get(node) ?? []) {
      const found = visit(next)
      if (found !== null) return found
    }
    way.pop()
    done.add(node)
    return null
  }
  for (const node of edges.keys()) {
    const found = visit(node)
    if (found !== null) return found
  }
  return null
}

/** What a layer holds beside features: whatever several features share, and pages of the API that are no feature. */
export type Names = {
  readonly features: readonly string[]
  readonly shared: Readonly<Record<string, readonly string[]>>
  /** Tests of a whole layer. */
  readonly whole: readonly string[]
}

/** Modules of a layer, and tests of it, that go by another name than their feature; shared names that are gone. */
export function nameFindings(sources: Sources, { features, shared, whole }: Names): string[] {
  const paths = [...sources.keys()]
  const everywhere = [...features, ...Object.values(shared).flat(), ...whole]
  return Object.entries(shared).flatMap(([layer, others]) => {
    const names = paths.filter(path => path.startsWith(`src/${layer}/`)).map(path => path.split('/')[2]!.replace(/\.ts$/, ''))
    const known = [...features, ...others]
    const strange = [...new Set(names)]
      .filter(name => !known.includes(name))
      .map(name => `src/${layer}/${name} is no feature and not shared`)
    const gone = others
      .filter(name => !names.includes(name))
      .map(name => `src/${layer}/${name} is said to be shared, and is not there`)
    const lost = paths
      .filter(path => path.startsWith(`tests/${layer}/`) && path.endsWith('.test.ts'))
      .filter(path => !everywhere.some(name => path.split('/')[2]!.startsWith(name)))
      .map(path => `${path} does not begin with the name of a feature`)
    return [...strange, ...gone, ...lost]
  })
}

/** Files of routes that the composition does not mount. */
export function mountFindings(sources: Sources): string[] {
  const mounts = ['src/api/features.ts', 'src/app.ts'].map(path => sources.get(path) ?? '')
  const used = (name: string): boolean => mounts.some(text => (text.match(new RegExp(`\\b${name}\\b`, 'g')) ?? []).length > 1)
  return [...sources].flatMap(([path, text]) => {
    if (!path.startsWith('src/api/') || !/\broutes(<AppEnv>)?\(\)/.test(text)) return []
    const exported = [...text.matchAll(/^export (?:const|function) (\w+)/gm)].map(([, name]) => name!)
    return exported.some(used) ? [] : [`${path}: neither src/api/features.ts nor src/app.ts mounts its routes`]
  })
}

/** Types of events that the domain declares and no list of fixtures names. */
export function unfrozenFindings(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) =>
    path.startsWith('src/domain/')
      ? [...text.matchAll(/\beventType<\s*'(\w+)'/g)]
          .map(([, type]) => type!)
          .filter(type => !sources.has(`tests/fixtures/events/${type}.v1.json`))
          .map(
            type => `${path}: ${type} has no tests/fixtures/events/${type}.v1.json (tests/fixtures.test.ts says how to make one)`,
          )
      : [],
  )
}

/** Variables that the configuration reads and the README does not tell, and the other way round. */
export function settingFindings(sources: Sources): string[] {
  const section = (path: string, form: RegExp): string => form.exec(sources.get(path) ?? '')?.[1] ?? ''
  const read = [
    ...section('src/config.ts', /^const Environment = v\.object\(\{$([\s\S]*?)^\}\)$/m).matchAll(/^ {2}([A-Z0-9_]+):/gm),
  ]
  const told = [...section('README.md', /^## Settings$([\s\S]*?)^## /m).matchAll(/^\|([^|]*)\|/gm)].flatMap(([, cell]) => [
    ...cell!.matchAll(/`([A-Z0-9_]+)`/g),
  ])
  const names = (found: readonly RegExpExecArray[]): string[] => found.map(([, name]) => name!)
  return [
    ...names(read)
      .filter(name => !names(told).includes(name))
      .map(name => `README.md: Settings lacks ${name}, which src/config.ts reads`),
    ...names(told)
      .filter(name => !names(read).includes(name))
      .map(name => `README.md: Settings tells ${name}, which src/config.ts does not read`),
  ]
}

export const mostLines = 400

export function lengthFindings(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) => {
    const lines = text.split('\n').length - 1
    return isOurs(path) && lines > mostLines ? [`${path} has ${lines} lines: make it a folder`] : []
  })
}

/** What belongs to the machine where something was written, and not to the project. */
export function strayFindings(sources: Sources): string[] {
  const path = /(?<![\w.~$})-])\/(?:work|home|root|Users|workspace)\/[\w.-]+/
  const host = /https?:\/\/(?!registry\.npmjs\.org\/)[\w.-]*(?:registry|artifactory|nexus|verdaccio)[\w.-]*/i
  const resolved = /"resolved": "(?!https:\/\/registry\.npmjs\.org\/)[^"]*"/
  /** `../` once more than the file is deep. */
  const outside = (file: string): RegExp => new RegExp(`'(?:\\.\\./){${file.split('/').length},}[^']*'`)
  return [...sources].flatMap(([file, text]) =>
    [path, host, outside(file), ...(file === 'package-lock.json' ? [resolved] : [])].flatMap(form => {
      const [found] = form.exec(text) ?? []
      return found === undefined ? [] : [`${file}: ${found}`]
    }),
  )
}

/** Ways around the compiler, and work put off. */
export function hatchFindings(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) => {
    if (!path.endsWith('.ts')) return []
    const forms = [/@ts-(?:ignore|expect-error|nocheck)/, /\b(?:TO|FIX)(?:DO|ME)\b/]
    const inCode = [/\bas any\b/, ...(isOurs(path) ? [/(?:[:<,|&(]|=>)\s*any\b\s*(?:\[\]\s*)*(?:[;,)>=|&{\]]|$)/m] : [])]
    return [...forms.map(form => form.exec(text)), ...inCode.map(form => form.exec(withoutComments(text)))].flatMap(found =>
      found === null ? [] : [`${path}: ${found[0].trim()}`],
    )
  })
}

const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/[^\n]*/g, '$1')
