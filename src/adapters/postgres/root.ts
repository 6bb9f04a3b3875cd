import { randomBytes } from 'node:crypto'
import { keyOf, type Secrets } from '../../kernel/secrets.ts'
import { type Database, type Db, sql } from '../../kernel/sql.ts'
import { StartupError } from '../../kernel/startup-error.ts'
import { opens, unwrap, wrap } from './wrapping.ts'

const name = 'root'

/**
 * Opens the root that all lasting keys come from, and gives it to `secrets`. The first start makes it; where a person's key is older than it, as in deployments
 * that had none, it is the SECRET of then. One that opens under SECRET_PREVIOUS is wrapped anew, under SECRET. Nodes that start at once wait for each other.
 * @returns whether it was wrapped anew
 * @throws StartupError where neither secret opens it: nothing could be read, and nobody could sign in
 */
export async function openRoot(db: Database, secrets: Secrets): Promise<boolean> {
  return db.transaction(async tx => {
    await tx.run(sql`select pg_advisory_xact_lock(hashtext('darkroom.root'))`)
    const [row] = await tx.run<{ wrapped: Buffer }>(sql`select wrapped from keys.root`)
    const keys = secrets.accepted('root')
    const by = row === undefined ? 0 : keys.findIndex(key => opens(key, name, row.wrapped))
    if (by < 0) throw refused()
    const root = row === undefined ? await firstRoot(tx, secrets) : unwrap(keys[by]!, name, row.wrapped).toString()
    if (row === undefined || by > 0) {
      const wrapped = wrap(keys[0]!, name, Buffer.from(root))
      await tx.run(
        sql`insert into keys.root (wrapped) values (${wrapped}) on conflict (single) do update set wrapped = excluded.wrapped`,
      )
    }
    secrets.unlock(root)
    return by > 0
  })
}

/** 32 random bytes; but where there are keys of people already, what opens them. */
async function firstRoot(tx: Db, secrets: Secrets): Promise<string> {
  const [someone] = await tx.run<{ subject: string; wrapped: Buffer | null }>(
    sql`select subject, wrapped from keys.keys order by wrapped is null limit 1`,
  )
  if (someone === undefined) return randomBytes(32).toString('base64url')
  const { subject, wrapped } = someone
  const root = secrets.texts.find(text => wrapped === null || opens(keyOf(text, 'master'), subject, wrapped))
  if (root === undefined) throw refused()
  return root
}

const refused = (): StartupError =>
  new StartupError(
    'SECRET is not the one that the keys in this database are kept under (without SECRET it is in DATA_DIR/secret): set that one. To change it, set SECRET to a new one and SECRET_PREVIOUS to the one of now.',
  )
