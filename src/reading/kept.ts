import { Kept } from '../kernel/projecting/kept.ts'
import { accountsModel } from '../projections/accounts/project.ts'
import { postsModel } from '../projections/posts/project.ts'
import { postContents } from '../projections/posts/queries.ts'
import { accountFacts } from '../projections/relationships/queries.ts'
import type { Reading } from './context.ts'

/** What does not vary by viewer: the words and pictures of posts (about 2 kB each), and who accounts are. What the rules decide is laid over it at each reading. */
export const keptRows = (): Reading['kept'] => ({
  posts: new Kept({
    model: postsModel,
    most: 20_000,
    load: postContents,
    ownerOf: ({ author }) => author,
    isWhole: ({ media }) => media.every(({ width }) => width !== null),
  }),
  accounts: new Kept({ model: accountsModel, most: 50_000, load: accountFacts, ownerOf: ({ id }) => id }),
})
