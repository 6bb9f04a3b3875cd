import { createHash } from 'node:crypto'
import { createTransport } from 'nodemailer'
import { isLoopback } from '../../kernel/loopback.ts'
import { isMailAddress, type Mail, type Sender } from '../../kernel/ports/mail.ts'
import { StartupError } from '../../kernel/startup-error.ts'

export type Letter = Pick<Mail, 'key' | 'to' | 'subject' | 'text'>

/** Hands letters to a mail server. */
export type Post = {
  /** What makes a repeat recognisable: the same key, the same Message-ID. */
  messageId(key: string): string
  /** Resolves when the server has taken it. @throws Undeliverable where it never will; any other error is for a later try */
  deliver(letter: Letter, signal: AbortSignal): Promise<void>
  /** Connects and signs in, no more. Rejects, with the reason, where that does not work. */
  look(): Promise<void>
}

/** The mail itself is refused, for good. The message says by what code, and never repeats an address. */
export class Undeliverable extends Error {
  override readonly name = 'Undeliverable'
}

/** What a server that speaks slowly may take to connect, to greet, and to answer a command, in milliseconds. */
const patience = { dnsTimeout: 10_000, connectionTimeout: 10_000, greetingTimeout: 10_000, socketTimeout: 20_000 }

/**
 * A mail server at `smtp://user:password@host:587`, which must offer STARTTLS, or `smtps://…:465`. What is in clear stays on loopback, unless the URL
 * says `plain=1`.
 * @throws StartupError where the URL cannot be meant
 */
export function smtpPost(url: string, from: Sender): Post {
  const { protocol, hostname, port, pathname, username, password, searchParams } = new URL(url)
  const strange = [...searchParams.keys()].find(name => name !== 'plain')
  if (hostname === '' || !['', '/'].includes(pathname) || strange !== undefined)
    throw new StartupError('SMTP_URL is not usable: write smtps://user:password@host, or smtp://… where the server has STARTTLS.')
  const secure = protocol === 'smtps:'
  const inClear = !secure && (isLoopback(hostname) || searchParams.get('plain') === '1')
  const domain = from.address.slice(from.address.lastIndexOf('@') + 1)
  const transport = createTransport({
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port) || (secure ? 465 : 587),
    secure,
    requireTLS: !secure && !inClear,
    ignoreTLS: inClear,
    ...(username === '' ? {} : { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
    tls: { minVersion: 'TLSv1.2' },
    // The name of this machine is nobody's business.
    name: domain,
    disableFileAccess: true,
    disableUrlAccess: true,
    ...patience,
  })
  const messageId = (key: string): string => `<${createHash('sha256').update(key).digest('hex').slice(0, 40)}@${domain}>`

  return {
    messageId,
    async look() {
      try {
        await transport.verify()
      } catch (error) {
        throw new Error(reasonOf(error))
      }
    },
    async deliver({ key, to, subject, text }, signal) {
      if (!isMailAddress(to)) throw new Undeliverable('the address is none')
      try {
        await transport.sendMail({
          from,
          to: { name: '', address: to },
          envelope: { from: from.address, to: [to] },
          subject,
          text,
          messageId: messageId(key),
          headers: { 'Auto-Submitted': 'auto-generated' },
          xMailer: false,
          signal,
        })
      } catch (error) {
        throw refusalOf(error) ?? new Error(reasonOf(error))
      }
    },
  }
}

/** What nodemailer tells of a failure. */
type Failure = { readonly code?: string; readonly responseCode?: number; readonly response?: string; readonly command?: string }

/** Only a 5xx about this mail is final: one to a greeting or a sign-in is about us, and will be mended. */
function refusalOf(error: unknown): Undeliverable | null {
  const { code, responseCode, command = '' } = error as Failure
  const refused = responseCode !== undefined && responseCode >= 500 && ['MAIL FROM', 'RCPT TO', 'DATA'].includes(command)
  const impossible = responseCode === undefined && (code === 'EENVELOPE' || code === 'EMESSAGE')
  return refused || impossible ? new Undeliverable(reasonOf(error)) : null
}

/** As `550 5.1.1 to RCPT TO`: servers repeat addresses in what they say, so that is left out. */
function reasonOf(error: unknown): string {
  const { code, responseCode, response = '', command } = error as Failure
  if (responseCode === undefined) return code ?? 'unknown'
  const [, enhanced = ''] = /^\d{3}[ -](\d\.\d{1,3}\.\d{1,3})/.exec(response) ?? []
  return [responseCode, enhanced, 'to', command].filter(part => part !== '').join(' ')
}
