import { readlinkSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'
import * as argon2 from '@node-rs/argon2'
import * as bcrypt from '@node-rs/bcrypt'

/** What a thread is told to do, one at a time, and what it answers. */
export type HashingJob =
  | { readonly type: 'hash'; readonly password: string; readonly parameters: argon2.Options }
  | { readonly type: 'verify'; readonly kind: 'argon2' | 'bcrypt'; readonly hash: string; readonly password: string }
export type HashingAnswer = { readonly value: string | boolean } | { readonly error: string }

const done = (job: HashingJob): string | boolean => {
  if (job.type === 'hash') return argon2.hashSync(job.password, job.parameters)
  return job.kind === 'argon2' ? argon2.verifySync(job.hash, job.password) : bcrypt.verifySync(job.password, job.hash)
}

// Whoever asks for a page goes before who signs in.
try {
  setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), constants.priority.PRIORITY_BELOW_NORMAL)
} catch {
  // It stays as it is: Linux alone gives each thread a priority of its own, and a server that was itself started with a lower one may not raise it.
}

parentPort?.on('message', (job: HashingJob) => {
  let answer: HashingAnswer
  try {
    answer = { value: done(job) }
  } catch (error) {
    // In words alone: neither the password nor its hash stands in what these libraries say.
    answer = { error: error instanceof Error ? error.message : 'unknown' }
  }
  parentPort?.postMessage(answer)
})
