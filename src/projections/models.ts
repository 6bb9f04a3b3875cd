import { AccountErased } from '../domain/accounts/account.ts'
import { CommentDeleted } from '../domain/comments/comment.ts'
import { PostDeleted } from '../domain/posts/post.ts'
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

/** Events that take away what belongs to them, however much that is: models do not commit together what may take long. */
export const wideEvents: ReadonlySet<string> = new Set([AccountErased, PostDeleted, CommentDeleted].map(({ type }) => type))
