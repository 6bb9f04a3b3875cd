import { createHash, createHmac } from 'node:crypto'

const encoded = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, letter => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`)

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

export type Signed = {
  readonly method: string
  readonly url: string
  /** Those that are signed, by their names in lower case; `host` among them. */
  readonly headers: Readonly<Record<string, string>>
  /** SHA-256 of the body in hexadecimal, or UNSIGNED-PAYLOAD. */
  readonly payload: string
  readonly secret: string
  readonly region: string
  /** As 20130524T000000Z. */
  readonly date: string
}

/** AWS Signature Version 4 of a request to S3, written from its description alone, to check what signs ours. */
export function awsSignature({ method, url, headers, payload, secret, region, date }: Signed): string {
  const { pathname, searchParams } = new URL(url)
  const names = Object.keys(headers).sort()
  const canonical = [
    method,
    decodeURIComponent(pathname).split('/').map(encoded).join('/'),
    [...searchParams]
      .filter(([name]) => name !== 'X-Amz-Signature')
      .map(pair => pair.map(encoded).join('='))
      .sort()
      .join('&'),
    ...names.map(name => `${name}:${headers[name]!.trim()}`),
    '',
    names.join(';'),
    payload,
  ].join('\n')
  const scope = [date.slice(0, 8), region, 's3', 'aws4_request']
  const text = ['AWS4-HMAC-SHA256', date, scope.join('/'), createHash('sha256').update(canonical).digest('hex')].join('\n')
  const key = scope.reduce<string | Buffer>(hmac, `AWS4${secret}`)
  return hmac(key, text).toString('hex')
}
