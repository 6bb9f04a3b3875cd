import { isIP } from 'node:net'

/** Whether a host, as in a setting or a URL, is this very machine: nobody else hears what is said to it. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'))
