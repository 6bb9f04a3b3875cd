/** What an answer says of itself beside its body, by the names as they are sent. */
export type Head = Record<string, string>

/** An answer in the making. */
export type Answering = {
  /** What was put on it so far: it wins over what every answer says. */
  readonly head: Head
  /** What every answer says, problems too. */
  readonly common: () => Head
  /** Made by `send`, with its head; null until then. */
  sent: Response | null
}

type Answered = { get(key: 'answering'): Answering }

/** Puts fields on the answer that is to come, unless that is a problem. */
export function carry(c: Answered, head: Head): void {
  Object.assign(c.get('answering').head, head)
}

/**
 * Answers with a body as it is. Every answer is made here but problems: its whole head is put on at once, as a plain object, for a `Headers` of these dozen
 * fields costs as much as all routing of the request.
 */
export function send(
  c: Answered,
  body: string | Uint8Array<ArrayBuffer> | ReadableStream | null,
  status = 200,
  head: Head = {},
): Response {
  const answering = c.get('answering')
  const response = new Response(body, { status, headers: { ...answering.common(), ...answering.head, ...head } })
  answering.sent = response
  return response
}

/** Answers with a value as JSON. */
export const json = (c: Answered, value: unknown, status = 200, head: Head = {}): Response =>
  send(c, JSON.stringify(value), status, { 'Content-Type': 'application/json', ...head })

/** Puts what every answer says on one that something else has made, as a problem, or has put fields on: what that has said of it stays. */
export function complete({ common, sent }: Answering, response: Response): void {
  if (response === sent) return
  const { headers } = response
  const { 'Cache-Control': kept, Vary: by, ...fields } = common()
  for (const [name, value] of Object.entries(fields)) if (!headers.has(name)) headers.set(name, value)
  if (kept === undefined || by === undefined || headers.has('Cache-Control')) return
  headers.set('Cache-Control', kept)
  headers.append('Vary', by)
}
