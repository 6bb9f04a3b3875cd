import type { ReadModel } from '../kernel/projecting/model.ts'
import { timersModel } from '../kernel/timers.ts'
import { liveModel } from '../projections/live/project.ts'
import { readModels } from '../projections/models.ts'
import { timersOf } from '../reactions/all.ts'

/** All that has tables: what the log makes, and what only continues. */
export const allModels: readonly ReadModel[] = [
  ...readModels,
  liveModel,
  timersModel(
    timersOf(() => {
      throw new Error('no timer fires here')
    }),
  ),
]
