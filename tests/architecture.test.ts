import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  answerFindings,
  cycleFindings,
  hatchFindings,
  importsOf,
  layerFindings,
  lengthFindings,
  mostLines,
  mountFindings,
  type Names,
  nameFindings,
  purityFindings,
  type Sources,
  settingFindings,
  strayFindings,
  unfrozenFindings,
} from './support/architecture.ts'

const root = new URL('../', import.meta.url)

/** All that is ours: folders of text, and the files right in the root. */
function repository(): Sources {
  const inFolders = ['src', 'tests', 'docs', 'bench', '.ci'].flatMap(folder => filesOf(folder))
  const inRoot = readdirSync(root, { withFileTypes: true })
    .filter(entry => entry.isFile() && /\.(md|json|mjs|ts|yaml|yml)$|^(Dockerfile|LICENSE)$/.test(entry.name))
    .map(({ name }) => name)
  return new Map([...inFolders, ...inRoot].map(path => [path, readFileSync(new URL(path, root), 'utf8')]))
}

function filesOf(folder: string): string[] {
  try {
    return readdirSync(new URL(folder, root), { withFileTypes: true }).flatMap(entry =>
      entry.isDirectory() ? filesOf(`${folder}/${entry.name}`) : entry.isFile() ? [`${folder}/${entry.name}`] : [],
    )
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

const sources = repository()
const made = (files: Readonly<Record<string, string>>): Sources => new Map(Object.entries(files))

const names: Names = {
  features: [
    ...[
      'accounts',
      'sessions',
      'profiles',
      'relationships',
      'posts',
      'media',
      'comments',
      'likes',
      'saves',
      'shares',
      'feed',
      'explore',
    ],
    ...[
      'search',
      'conversations',
      'calls',
      'stories',
      'highlights',
      'reels',
      'shop',
      'orders',
      'insights',
      'notifications',
      'ads',
    ],
    ...['monetization', 'moderation', 'exports', 'live'],
  ],
  whole: ['openapi'],
  shared: {
    domain: ['events'],
    commands: ['context', 'names', 'words'],
    projections: ['models'],
    reactions: ['all'],
    reading: ['context', 'credentials', 'kept', 'me', 'mentions', 'outbox', 'page', 'pictures', 'rules', 'standings'],
    api: ['env', 'features', 'lists', 'me', 'middleware', 'operations', 'outbox', 'profile-fields', 'schemas'],
  },
}

describe('imports', () => {
  it('are read in all their forms', () => {
    const text = [
      "import { a } from './a.ts'",
      "import type { B } from '../b.ts'",
      "import { type C, c } from '../c.ts'",
      'import {\n  d,\n  type D,\n} from "d"'.replaceAll('"', "'"),
      "import * as v from 'valibot'",
      "import './side.ts'",
      "export { e } from './e.ts'",
      "export type { F } from './f.ts'",
      "const g = await import('./g.ts')",
    ].join('\n')
    expect(importsOf(made({ 'src/x/y.ts': text })).map(({ to, typeOnly }) => (typeOnly ? `type ${to}` : to))).toEqual([
      ...[
        'src/x/a.ts',
        'type src/b.ts',
        'src/c.ts',
        'd',
        'valibot',
        'src/x/side.ts',
        'src/x/e.ts',
        'type src/x/f.ts',
        'src/x/g.ts',
      ],
    ])
    expect(importsOf(sources).length).toBeGreaterThan(500)
  })

  it('keep to the layers', () => expect(layerFindings(sources)).toEqual([]))

  it.each([
    ['src/domain/likes/like.ts', "import { sql } from '../../kernel/sql.ts'", 'of this the domain may know types only'],
    ['src/domain/likes/like.ts', "import { page } from '../../reading/page.ts'", 'domain may import domain, kernel'],
    ['src/domain/likes/like.ts', "import { randomUUID } from 'node:crypto'", 'domain uses no packages'],
    ['src/projections/likes/project.ts', "import { rules } from '../../reading/rules.ts'", 'projections may import'],
    ['src/projections/likes/project.ts', "import { postsModel } from '../posts/project.ts'", 'its own schema only'],
    ['src/projections/likes/queries.ts', "import { json } from '../../kernel/http/json.ts'", 'only routes know HTTP'],
    ['src/reading/likes.ts', "import { likePost } from '../commands/likes.ts'", 'reading may import'],
    ['src/reading/likes.ts', "import pg from 'pg'", 'reading uses valibot'],
    ['src/commands/likes.ts', "import { likesModel } from '../projections/likes/project.ts'", 'commands may import'],
    ['src/reactions/likes.ts', "import { likes } from '../api/likes.ts'", 'reactions may import'],
    ['src/api/likes.ts', "import { likesModel } from '../projections/likes/project.ts'", 'api may import'],
    ['src/api/likes.ts', "import { folderStorage } from '../adapters/storage/folder.ts'", 'api may import'],
    ['src/api/likes.ts', "import { like } from '../domain/likes/like.ts'", 'not its decisions'],
    ['src/kernel/timers.ts', "import { config } from '../config.ts'", 'kernel may import kernel'],
    ['src/kernel/timers.ts', "import { openPool } from '../adapters/postgres/database.ts'", 'kernel may import kernel'],
    ['src/kernel/timers.ts', "import sharp from 'sharp'", 'drivers live in adapters'],
    ['src/adapters/bus/nats.ts', "import { like } from '../../domain/likes/like.ts'", 'adapters may import adapters, kernel'],
    ['src/main.ts', "import { openPool } from './adapters/postgres/database.ts'", 'main.ts may import'],
    ['src/helpers/strings.ts', "import { sql } from '../kernel/sql.ts'", 'helpers is no layer of the design'],
  ])('%s may not: %s', (path, text, why) => {
    const like = 'export const like = decider<LikeState>({})'
    const findings = layerFindings(
      made({ [path]: text, 'src/domain/likes/like.ts': path === 'src/domain/likes/like.ts' ? text : like }),
    )
    expect(findings).toEqual([expect.stringContaining(why)])
  })

  it.each([
    ['src/domain/likes/like.ts', "import type { PostId } from '../../kernel/ids.ts'"],
    ['src/projections/likes/queries.ts', "import { postsModel } from '../posts/project.ts'"],
    ['src/commands/likes.ts', "import { maySeePost } from '../reading/rules.ts'"],
    ['src/api/likes.ts', "import { captionLimits } from '../domain/posts/content.ts'"],
    ['src/kernel/sql.ts', "import type pg from 'pg'"],
    ['src/app.ts', "import { folderStorage } from './adapters/storage/folder.ts'"],
    ['tests/api/likes.test.ts', "import { folderStorage } from '../../src/adapters/storage/folder.ts'"],
  ])('%s may: %s', (path, text) => expect(layerFindings(made({ [path]: text }))).toEqual([]))

  it('never go in a circle', () => expect(cycleFindings(sources)).toEqual([]))

  it.each([
    [
      'between layers, be it of types',
      { 'src/kernel/a.ts': "import type { B } from '../domain/b.ts'", 'src/domain/b.ts': "import { a } from '../kernel/a.ts'" },
      'kernel → domain → kernel',
    ],
    [
      "between the kernel's folders",
      { 'src/kernel/live/a.ts': "import { b } from '../http/b.ts'", 'src/kernel/http/c.ts': "import { a } from '../live/a.ts'" },
      'src/kernel/live → src/kernel/http → src/kernel/live',
    ],
    [
      'between files',
      {
        'src/api/a.ts': "import { b } from './b.ts'",
        'src/api/b.ts': "import { c } from './c.ts'",
        'src/api/c.ts': "import { a } from './a.ts'",
      },
      'src/api/a.ts → src/api/b.ts → src/api/c.ts → src/api/a.ts',
    ],
  ])('a circle is found %s', (_, files, found) => expect(cycleFindings(made(files))).toEqual([found]))

  it('of types within a folder may', () => {
    expect(
      cycleFindings(made({ 'src/api/a.ts': "import { b } from './b.ts'", 'src/api/b.ts': "import type { A } from './a.ts'" })),
    ).toEqual([])
  })
})

describe('the domain', () => {
  it('has no clock, no randomness and no input or output', () => expect(purityFindings(sources)).toEqual([]))

  it.each([
    'const at = Date.now()',
    'const at = new Date().toISOString()',
    'if (Math.random() > 0.5) return []',
    'const id = newId()',
    'await save()',
  ])('found: %s', text => expect(purityFindings(made({ 'src/domain/likes/like.ts': text }))).toHaveLength(1))

  it('may read a time that it is given, and speak of clocks', () => {
    expect(
      purityFindings(made({ 'src/domain/likes/like.ts': '// never Date.now()\nconst ms = Date.parse(command.at)' })),
    ).toEqual([])
  })

  it('answers in one way', () => {
    expect(answerFindings(sources)).toEqual([])
    for (const text of ['return c.json({})', "c.header('ETag', etag)", 'return c.body(null, 204)', 'const { actor } = c.var'])
      expect(answerFindings(made({ 'src/api/likes.ts': text }))).toHaveLength(1)
    expect(answerFindings(made({ 'src/api/likes.ts': "const sent = c.req.header('accept')\nreturn json(c, {})" }))).toEqual([])
  })

  it('declares no event without a fixture', () => {
    expect(unfrozenFindings(sources)).toEqual([])
    const files = {
      'src/domain/likes/like.ts':
        "const Liked = eventType<'Liked', Like>('Liked')\nconst Loved = eventType<\n  'Loved',\n  Like\n>('Loved')",
    }
    expect(unfrozenFindings(made({ ...files, 'tests/fixtures/events/Liked.v1.json': '{}' }))).toEqual([
      expect.stringContaining('Loved'),
    ])
  })
})

describe('the house', () => {
  it('calls a feature by the same name in every layer', () => expect(nameFindings(sources, names)).toEqual([]))

  it('finds other names', () => {
    const files = made({
      'src/api/like.ts': '',
      'src/api/likes.ts': '',
      'src/api/env.ts': '',
      'tests/api/liking.test.ts': '',
      'tests/api/likes-twice.test.ts': '',
    })
    expect(nameFindings(files, { features: ['likes'], shared: { api: ['env', 'gone'] }, whole: [] })).toEqual([
      'src/api/like is no feature and not shared',
      'src/api/gone is said to be shared, and is not there',
      'tests/api/liking.test.ts does not begin with the name of a feature',
    ])
  })

  it('mounts every route', () => expect(mountFindings(sources)).toEqual([]))

  it('finds routes that are not mounted', () => {
    const likes = 'export const likesRoutes = routes<AppEnv>().put()'
    const saves = 'export function savesRoutes() {\n  return routes().put()\n}'
    const files = { 'src/api/likes.ts': likes, 'src/api/saves.ts': saves, 'src/api/schemas.ts': 'export const Id = v.string()' }
    const imported = "import { likesRoutes } from './likes.ts'\nimport { savesRoutes } from './saves.ts'\n"
    const only = (list: string) =>
      mountFindings(made({ ...files, 'src/api/features.ts': `${imported}export const featureRoutes = [${list}]` }))
    expect(only('likesRoutes, savesRoutes()')).toEqual([])
    expect(only('likesRoutes')).toEqual([expect.stringContaining('src/api/saves.ts')])
  })

  it('tells every setting in the README', () => {
    expect(settingFindings(sources)).toEqual([])
    const config = 'const Environment = v.object({\n  /** Where. */\n  PORT: v.optional(text),\n  HOST: text,\n})\n'
    const readme = '## Settings\n\n| `PORT`, `HOME` | `3000` | where |\n\n## Operating\n'
    expect(settingFindings(made({ 'src/config.ts': config, 'README.md': readme }))).toEqual([
      'README.md: Settings lacks HOST, which src/config.ts reads',
      'README.md: Settings tells HOME, which src/config.ts does not read',
    ])
  })

  it(`has no file of more than ${mostLines} lines`, () => {
    expect(lengthFindings(sources)).toEqual([])
    const lines = (count: number) => made({ 'src/app.ts': 'x\n'.repeat(count) })
    expect(lengthFindings(lines(mostLines))).toEqual([])
    expect(lengthFindings(lines(mostLines + 1))).toEqual([`src/app.ts has ${mostLines + 1} lines: make it a folder`])
  })

  it('goes around no compiler and puts nothing off', () => {
    expect(hatchFindings(sources)).toEqual([])
    const any = 'an' + 'y'
    for (const text of [
      `const x = y as ${any}`,
      `// @ts-${'ignore'}`,
      `function f(x: ${any}) {}`,
      `const x: ${any}[] = []`,
      `new Map<string, ${any}>()`,
      `// ${'TO'}DO`,
    ]) {
      expect(hatchFindings(made({ 'src/app.ts': text })), text).toHaveLength(1)
    }
    expect(
      hatchFindings(made({ 'src/app.ts': `// as ${any} of these: ${any} one, and (${any})\nconst ${any}thing = [${any}(x)]` })),
    ).toEqual([])
  })

  it('has nothing of the machine where it was written', () => {
    // This file is full of paths that are made up.
    expect(strayFindings(new Map([...sources].filter(([path]) => path !== 'tests/architecture.test.ts')))).toEqual([])
    const found = (file: string, text: string) => strayFindings(made({ [file]: text }))
    for (const home of ['home', 'root', 'Users', 'work'])
      expect(found('docs/guide.md', `see /${home}/anna/notes`)).toHaveLength(1)
    expect(found('tests/api/likes.test.ts', "readFile('../../../pictures/a.jpg')")).toHaveLength(1)
    expect(found('tests/api/likes.test.ts', "import '../../src/app.ts'")).toEqual([])
    expect(found('.npmrc', `registry=https://${'registry'}.corp.example/npm`)).toHaveLength(1)
    expect(found('package-lock.json', `"${'resolved'}": "http://10.0.0.7/pg.tgz"`)).toHaveLength(1)
    expect(found('package-lock.json', '"resolved": "https://registry.npmjs.org/pg/-/pg-8.0.0.tgz"')).toEqual([])
    expect(found('docs/guide.md', 'under /var/lib/darkroom, at https://example.org/home/, PUT /v1/work/x')).toEqual([])
  })
})
