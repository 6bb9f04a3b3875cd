import type { AccountId } from '../kernel/ids.ts'
import type { Clock } from '../kernel/ports/clock.ts'
import type { Changes } from '../kernel/projecting/changes.ts'
import type { Kept, KeptPairs } from '../kernel/projecting/kept.ts'
import type { Secrets } from '../kernel/secrets.ts'
import type { Database } from '../kernel/sql.ts'
import type { CommentContent } from '../projections/comments/queries.ts'
import type { NotificationRow } from '../projections/notifications/queries.ts'
import type { PostContent } from '../projections/posts/queries.ts'
import type { AccountFacts, RelationRow } from '../projections/relationships/queries.ts'
import type { WhoseSessionRow } from '../projections/sessions/queries.ts'
import type { Beginning, Key } from './page.ts'

/** What every reader needs. */
export type Reading = {
  readonly db: Database
  readonly clock: Clock
  readonly secrets: Secrets
  /** Where clients reach this deployment, without a slash at the end: pictures' URLs begin with it. */
  readonly publicUrl: string
  /** What this process keeps of read models, as new as the question each time. */
  readonly kept: {
    /** What has changed of all that follows. */
    readonly changes: Changes
    readonly sessions: Kept<WhoseSessionRow>
    /** How viewers stand to accounts. */
    readonly relations: KeptPairs<Readonly<RelationRow>>
    readonly posts: Kept<PostContent>
    readonly accounts: Kept<AccountFacts>
    /** Of an author's posts, and of the comments of a post, the newest. */
    readonly postsOf: Kept<Beginning<Key>>
    readonly commentsOf: Kept<Beginning<Key>>
    /** Of what an account is told, the newest, whoever may see it. */
    readonly notificationsOf: Kept<Beginning<NotificationRow>>
    readonly comments: Kept<CommentContent>
    /** How many like a post or a comment; also 0. */
    readonly likes: Kept<{ readonly id: string; readonly likes: number }>
    /** Whether accounts like posts and comments. */
    readonly liked: KeptPairs<boolean>
    /** How many comments stand under a post, or replies under a comment; also 0. */
    readonly below: Kept<{ readonly id: string; readonly below: number }>
  }
}

/** Who looks: an account, or nobody signed in. */
export type ViewerId = AccountId | null
