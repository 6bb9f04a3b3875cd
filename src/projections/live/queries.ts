import type { PostId } from '../../kernel/ids.ts'
import { query, sql } from '../../kernel/sql.ts'
import { commentsModel } from '../comments/project.ts'
import { likesModel } from '../likes/project.ts'

/** What a watcher of a post is told: the same for all. */
export const topicCounts = query<{ postId: PostId }, { likes: number; comments: number }>(
  p => sql`
    select coalesce((select likes from ${likesModel.t.counts} where subject = ${p.postId}::uuid), 0) as likes,
           coalesce((select comments from ${commentsModel.t.counts} where post = ${p.postId}::uuid), 0) as comments`,
)
