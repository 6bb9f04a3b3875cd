import { randomBytes } from 'node:crypto'
import { defineConfig } from 'vitest/config'

/** The tests whose faults are chosen by a seed: alone, and with ten times as many faults, in `npm run test:faults`. */
const seeded = ['clock', 'eventstoredb-wire', 'full-disk', 'kill', 'many-processes', 'many-processes-and-parts', 'parts-away']

export default defineConfig(({ mode }) => {
  const many = mode === 'faults'
  const FAULT_SEED = process.env.FAULT_SEED || String(randomBytes(4).readUInt32LE())
  const FAULT_POINTS = process.env.FAULT_POINTS || (many ? '50' : '5')
  console.log(`FAULT_SEED=${FAULT_SEED} FAULT_POINTS=${FAULT_POINTS} repeat the faults of this run`)
  return {
  test: {
    include: many ? seeded.map(name => `tests/faults/${name}.test.ts`) : ['tests/**/*.test.ts'],
    env: { FAULT_SEED, FAULT_POINTS },
    globalSetup: ['tests/support/global.ts'],
    pool: 'forks',
    // Three workers load the code once each. A file shares with those before it what modules keep: what is left open there, as the one EventStoreDB
    // that a process appends to, is found by the next file that opens another.
    isolate: false,
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default'],
  },
}})
