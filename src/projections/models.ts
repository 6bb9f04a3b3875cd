import type { ReadModel } from '../kernel/projecting/model.ts'
import { accountsModel } from './accounts/project.ts'
import { commentsModel } from './comments/project.ts'
import { feedModel } from './feed/project.ts'
import { likesModel } from './likes/project.ts'
import { mediaModel } from './media/project.ts'
import { notificationsModel } from './notifications/project.ts'
import { postsModel } from './posts/project.ts'
import { relationshipsModel } from './relationships/project.ts'
import { sessionsModel } from './sessions/project.ts'

/** Every read model that the log alone makes. */
export const readModels: readonly ReadModel[] = [
  accountsModel,
  sessionsModel,
  relationshipsModel,
  mediaModel,
  postsModel,
  commentsModel,
  likesModel,
  feedModel,
  notificationsModel,
]
