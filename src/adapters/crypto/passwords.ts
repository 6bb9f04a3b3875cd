import { availableParallelism } from 'node:os'
import * as argon2 from '@node-rs/argon2'
import * as bcrypt from '@node-rs/bcrypt'
import { bounded } from '../../kernel/bounded.ts'
import type { Passwords } from '../../kernel/ports/passwords.ts'

/** OWASP's first choice for argon2id (which is the library's default kind): 19 MiB, two passes, one lane. */
const parameters = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const

/** The hash of a random password nobody knows, made with those parameters. */
const nobodys = '$argon2id$v=19$m=19456,t=2,p=1$+vr2hh1JB5HGE+QHUOPaxg$zk5UtCseeWDBGLVGa6XKYrQFdCb61H12KFkOIBgkWP0'

const isBcrypt = (hash: string): boolean => /^\$2[aby]\$/.test(hash)

/**
 * argon2id and, for hashes that came from elsewhere, bcrypt. Both run on the threads of libuv, which files and DNS need too: so few at once,
 * and a short queue, that hashing starves nothing else.
 * @param atOnce hashes computed at the same time: two, and never on all cores
 * @param queue how many more may wait
 */
export function passwords({ atOnce = Math.min(2, Math.max(1, availableParallelism() - 1)), queue = 100 } = {}): Passwords {
  const run = bounded(atOnce, queue, 'Too many are signing in at this moment; try again.')
  return {
    hash: password => run(() => argon2.hash(password, parameters)),
    verify: (hash, password) =>
      run(async () => {
        if (hash !== null && isBcrypt(hash)) {
          const right = await bcrypt.verify(password, hash)
          return { right, upgrade: right }
        }
        const right = await argon2.verify(hash ?? nobodys, password)
        return hash === null ? { right: false, upgrade: false } : { right, upgrade: right && isWeaker(hash) }
      }),
  }
}

function isWeaker(hash: string): boolean {
  const { memoryCost, timeCost } = argon2.parseOptions(hash)
  return !hash.startsWith('$argon2id$') || memoryCost < parameters.memoryCost || timeCost < parameters.timeCost
}
