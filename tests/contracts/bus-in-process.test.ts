import { InProcessBus } from '../../src/adapters/bus/in-process.ts'
import { busContract } from './bus.ts'

busContract('within one process', async onError => {
  const bus = new InProcessBus(onError)
  return { bus, close: () => bus.close() }
})
