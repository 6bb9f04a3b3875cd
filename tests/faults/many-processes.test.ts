import { freshDatabase } from '../support/database.ts'
import { environmentOf } from '../support/engines.ts'
import { type Engines, fleetTests } from '../support/fleet.ts'
import { hasNats, runNats } from '../support/nats.ts'

/** Those of this run; the faults are those of the processes alone. */
async function givenEngines(): Promise<Engines> {
  const fresh = await freshDatabase()
  const nats = await runNats()
  return {
    environment: { NAMESPACE: 'fleet', NATS_URL: nats.url, ...environmentOf(fresh.url) },
    faults: [],
    async end() {
      await nats.end()
      await fresh.drop()
    },
  }
}

fleetTests({ on: 'Postgres and NATS', open: givenEngines, can: hasNats })
