import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { afterEach } from 'vitest'

/** A mail as the server took it. */
export type Arrived = {
  readonly from: string
  readonly to: readonly string[]
  /** Header fields by their names in lower case, unfolded. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** What the client called itself. */
  readonly greeted: string
  readonly secure: boolean
  readonly user: string | null
}

/** A real mail server on loopback. */
export type Smtp = {
  readonly port: number
  readonly arrived: Arrived[]
  end(): Promise<void>
}

/** An answer other than 250, for what a handler of the server gives to its callback. */
export const reply = (responseCode: number, message = 'no'): Error => Object.assign(new Error(message), { responseCode })

/** Starts one; without options it takes everything, in clear. */
export async function startSmtp(options: SMTPServerOptions = {}): Promise<Smtp> {
  const arrived: Arrived[] = []
  const server = new SMTPServer({
    logger: false,
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    disableReverseLookup: true,
    closeTimeout: 1,
    onData(stream, session, done) {
      let text = ''
      stream.setEncoding('utf8')
      stream.on('data', part => {
        text += part
      })
      stream.on('end', () => {
        const [head = '', ...rest] = text.split('\r\n\r\n')
        const fields = head.replace(/\r\n[ \t]+/g, ' ').split('\r\n')
        const { mailFrom, rcptTo } = session.envelope
        arrived.push({
          from: mailFrom === false ? '' : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          headers: Object.fromEntries(fields.map(field => [field.split(':')[0]!.toLowerCase(), field.replace(/^[^:]*: ?/, '')])),
          body: rest.join('\r\n\r\n').trimEnd(),
          greeted: String(session.hostNameAppearsAs),
          secure: session.secure,
          user: typeof session.user === 'string' ? session.user : null,
        })
        done(null)
      })
    },
    ...options,
  })
  // What breaks off is the client's business here.
  server.on('error', () => {})
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    port: (server.server.address() as AddressInfo).port,
    arrived,
    end: () => new Promise<void>(resolve => server.close(resolve)),
  }
}

/** A key and a certificate that it signed itself, of whom clients reach by these addresses. */
export function selfSigned(...addresses: readonly string[]): { key: string; cert: string } {
  const folder = mkdtempSync(join(tmpdir(), 'darkroom-certificate-'))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  try {
    const names = addresses.map(address => `IP:${address}`).join(',')
    const of = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', cert]
    execFileSync('openssl', ['req', '-x509', ...of, '-days', '2', '-subj', '/CN=test', '-addext', `subjectAltName=${names}`], {
      stdio: 'pipe',
    })
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Starts servers that end with the test which started them. Called once in a test file. */
export function startedForOne(): (options?: SMTPServerOptions) => Promise<Smtp> {
  const servers: Smtp[] = []
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.end()
  })
  return async options => {
    const server = await startSmtp(options)
    servers.push(server)
    return server
  }
}
