import type { Context } from 'hono'
import { sameBytes } from '../secrets.ts'
import type { HttpEnv } from './env.ts'

const isLoopback = (address: string): boolean => address === '::1' || /^(::ffff:)?127\./.test(address)

const loopbackHost = /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?$/

/**
 * Whether the request comes from this very machine, to it by name: also the Host is looked at, so that no page in the operator's browser can
 * ask under a name of its own that resolves to loopback (DNS rebinding).
 */
export function isLocal(c: Context<HttpEnv>): boolean {
  const peer = c.env?.incoming?.socket.remoteAddress ?? '127.0.0.1'
  return isLoopback(peer) && isLoopback(c.get('clientAddress')) && loopbackHost.test(c.req.header('host') ?? 'localhost')
}

/** Whether an operator asks: on loopback outside production, else with `Authorization: Bearer $OPS_TOKEN`, or in a browser with the token as the password of any name. */
export function isOperator(
  c: Context<HttpEnv>,
  { production, opsToken }: { production: boolean; opsToken: string | null },
): boolean {
  if (!production && isLocal(c)) return true
  const [, scheme, shown = ''] = /^(bearer|basic) +(\S+)$/i.exec(c.req.header('authorization') ?? '') ?? []
  const sent =
    scheme?.toLowerCase() === 'basic'
      ? Buffer.from(shown, 'base64')
          .toString()
          .replace(/^[^:]*:/, '')
      : shown
  return opsToken !== null && sent !== '' && sameBytes(Buffer.from(sent), Buffer.from(opsToken))
}
