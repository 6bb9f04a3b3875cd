import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { startEmbeddedPostgres } from '../../src/adapters/postgres/embedded.ts'
import { standsApart } from '../support/engines.ts'
import { type Engines, fleetTests } from '../support/fleet.ts'
import { natsServer, startNats } from '../support/nats.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { WireServer } from '../support/wire-server.ts'

standsApart('its engines are killed too')

/** EventStoreDB, as far as the wire server stands for it, with a NATS and a Postgres, each of which may be killed too. */
async function ownEngines(): Promise<Engines> {
  const folder = await temporaryFolder()
  const settings = { fsync: 'off', full_page_writes: 'off' }
  const startPostgres = () => startEmbeddedPostgres({ dataDir: folder, log: () => {}, settings })
  let postgres = await startPostgres()
  let nats = await startNats()
  const wire = await WireServer.start()
  return {
    environment: { NAMESPACE: 'fleet', NATS_URL: nats.url, DATABASE_URL: postgres.url, EVENTSTORE_URL: wire.url },
    faults: [
      async random => {
        await nats.end('SIGKILL')
        await pause(random() * 1_500)
        nats = await startNats(Number(new URL(nats.url).port))
      },
      async random => {
        const [pid] = (await readFile(join(folder, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')
        process.kill(Number(pid), 'SIGKILL')
        await pause(random() * 1_000)
        postgres = await startPostgres()
      },
      async random => {
        await wire.cable.refuse()
        await pause(random() * 1_500)
        await wire.cable.listen()
      },
      async random => {
        wire.cable.freeze()
        await pause(random() * 2_000)
        wire.cable.thaw()
      },
      async () => {
        wire.loseAnswers += 2
      },
      async () => wire.end('subscriptions'),
    ],
    async end() {
      await wire.close()
      await nats.end()
      await postgres.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

fleetTests({ on: 'EventStoreDB (over the wire server), Postgres and NATS', open: ownEngines, can: natsServer !== null })
