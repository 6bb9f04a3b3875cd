/** Where in the input (JSON Pointer, RFC 6901; of a query or header `/name`) and what is wrong there. */
export type InputError = { path: string; message: string }

/**
 * Every code that an answer can carry, with its HTTP status and its title. One table, because clients act on codes:
 * a code once published keeps its meaning.
 */
export const problems = {
  malformed: [400, 'The request cannot be parsed'],
  cursor_invalid: [400, 'The cursor cannot be used'],
  consistency_token_invalid: [400, 'The consistency token was not issued here'],
  authentication_required: [401, 'Sign in first'],
  access_token_invalid: [401, 'The access token is not valid'],
  access_token_expired: [401, 'The access token has expired'],
  session_revoked: [401, 'The session has ended'],
  invalid_credentials: [401, 'The login or the password is wrong'],
  refresh_token_invalid: [401, 'The refresh token is not valid'],
  refresh_token_reused: [401, 'The refresh token was used before; the session has ended'],
  ticket_invalid: [401, 'The ticket is unknown, used or expired'],
  forbidden: [403, 'Not allowed'],
  reauthentication_required: [403, 'Confirm the password first'],
  not_found: [404, 'Not found'],
  method_not_allowed: [405, 'This path has no such method'],
  request_timeout: [408, 'The request did not arrive in time'],
  consistency_token_expired: [409, 'The consistency token is from before a restore'],
  username_taken: [409, 'The username is taken'],
  version_conflict: [412, 'Changed in the meantime'],
  payload_too_large: [413, 'Too large'],
  unsupported_media_type: [415, 'This type of content is not accepted'],
  validation_failed: [422, 'The input is not valid'],
  media_not_ready: [422, 'The media is not ready'],
  media_unreadable: [422, 'The media cannot be read'],
  media_not_found: [422, 'The media is unknown'],
  media_in_use: [422, 'The media already stands in a post'],
  idempotency_key_reused: [422, 'The idempotency key was used for another request'],
  rate_limited: [429, 'Too many requests'],
  headers_too_large: [431, 'The headers are too large'],
  internal: [500, 'Something went wrong here'],
  read_model_behind: [503, 'The view is not yet as new as asked'],
  unavailable: [503, 'A part of the service does not answer'],
} as const satisfies Record<string, readonly [number, string]>

export type ProblemCode = keyof typeof problems

/**
 * A refusal that a client reads: becomes `application/problem+json` (RFC 9457) at the HTTP edge. Thrown by deciders,
 * commands and the edge alike; anything else that is thrown is a fault of ours and answers 500.
 */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly code: ProblemCode
  readonly errors: readonly InputError[] | undefined
  /** Further answer headers, as `Retry-After` (seconds). */
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: ProblemCode,
    detail: string,
    extra: { errors?: readonly InputError[]; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(detail, extra.cause === undefined ? undefined : { cause: extra.cause })
    this.code = code
    this.errors = extra.errors
    this.headers = extra.headers ?? {}
  }

  get status(): number {
    return problems[this.code][0]
  }

  get title(): string {
    return problems[this.code][1]
  }
}

/** Ends a decision: `throw`s the problem, in the form of an expression. */
export function refuse(code: ProblemCode, detail: string, extra?: ConstructorParameters<typeof Problem>[2]): never {
  throw new Problem(code, detail, extra)
}

/** 404, the same for what never was, what is gone and what the viewer may not see. */
export const notFound = (what: string): Problem => new Problem('not_found', `There is no such ${what}.`)

/** 422 for one place of the input. */
export const invalid = (path: string, message: string): Problem =>
  new Problem('validation_failed', `${path}: ${message}`, { errors: [{ path, message }] })

/** The work's outcome; a 422 of it that names no place tells this one. */
export async function about<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 422 || error.errors !== undefined) throw error
    throw new Problem(error.code, error.message, { errors: [{ path, message: error.message }], cause: error })
  }
}

/** 503 with the seconds after which a repeat makes sense. */
export const unavailable = (detail: string, retryAfter = 1, cause?: unknown): Problem =>
  new Problem('unavailable', detail, { headers: { 'Retry-After': String(retryAfter) }, cause })
