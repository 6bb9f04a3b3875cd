import type { Hono } from 'hono'
import type { HttpEnv } from '../kernel/http/env.ts'
import { accountsRoutes } from './accounts.ts'
import { commentsRoutes } from './comments.ts'
import type { AppEnv } from './env.ts'
import { feedRoutes } from './feed.ts'
import { likesRoutes } from './likes.ts'
import { meRoutes } from './me.ts'
import { mediaRoutes } from './media.ts'
import { notificationsRoutes } from './notifications.ts'
import { postsRoutes } from './posts.ts'
import { profilesRoutes } from './profiles.ts'
import { relationshipsRoutes } from './relationships.ts'
import { sessionsRoutes } from './sessions.ts'

/** The routes of every feature, without /v1; /me and other fixed paths before those with a parameter. */
export const featureRoutes: readonly Hono<HttpEnv & AppEnv>[] = [
  accountsRoutes,
  sessionsRoutes,
  meRoutes,
  relationshipsRoutes,
  profilesRoutes,
  mediaRoutes,
  postsRoutes,
  commentsRoutes,
  likesRoutes,
  feedRoutes,
  notificationsRoutes,
]
