import { BlockList, isIP, isIPv6 } from 'node:net'
import { LRUCache } from 'lru-cache'
import { StartupError } from '../startup-error.ts'

/**
 * Says what a client's address is: the socket's own, or behind trusted proxies the right-most address of X-Forwarded-For that none of
 * them has. What stands left of it anybody may have written.
 * @param trusted addresses and CIDR ranges (TRUSTED_PROXIES)
 * @throws StartupError for one that is neither
 */
export function clientAddresses(trusted: readonly string[]): (socketAddress: string, forwardedFor: string | undefined) => string {
  const proxies = new BlockList()
  for (const range of trusted) addRange(proxies, range.trim())
  const plain = memoized(plainAddress)
  const isProxy = (address: string) => proxies.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
  return (socketAddress, forwardedFor) => {
    let address = plain(socketAddress) ?? socketAddress
    if (forwardedFor === undefined || trusted.length === 0) return address
    const hops = forwardedFor.split(',')
    while (hops.length > 0 && isIP(address) !== 0 && isProxy(address)) {
      const hop = plainAddress(hops.pop() ?? '')
      if (hop === null) break
      address = hop
    }
    return address
  }
}

function addRange(proxies: BlockList, range: string): void {
  const [address = '', prefix, ...rest] = range.split('/')
  const plain = plainAddress(address)
  const bits = prefix === undefined ? null : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN
  const family = plain !== null && isIPv6(plain) ? 'ipv6' : 'ipv4'
  if (plain === null || rest.length > 0 || (bits !== null && !(bits <= (family === 'ipv6' ? 128 : 32)))) {
    throw new StartupError(
      `TRUSTED_PROXIES holds "${range}": write addresses or CIDR ranges, separated by commas, as 10.0.0.0/8.`,
    )
  }
  if (bits === null) proxies.addAddress(plain, family)
  else proxies.addSubnet(plain, bits, family)
}

/** An address without brackets, port, zone and the IPv6 dress of an IPv4 address; null for what is none. */
function plainAddress(text: string): string | null {
  const [, bracketed, withPort] = /^\[([^\]]+)\](?::\d+)?$|^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text.trim()) ?? []
  const bare = (bracketed ?? withPort ?? text.trim()).replace(/%.*$/, '').toLowerCase()
  if (isIP(bare) === 0) return null
  if (!isIPv6(bare)) return bare
  const groups = groupsOf(bare)
  if (groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff) {
    return [groups[6]! >> 8, groups[6]! & 255, groups[7]! >> 8, groups[7]! & 255].join('.')
  }
  return bare
}

/** The eight 16-bit groups of an IPv6 address. */
function groupsOf(address: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address)
  const hex = (high: string, low: string) => ((Number(high) << 8) | Number(low)).toString(16)
  const plain = dotted ? `${dotted[1]}${hex(dotted[2]!, dotted[3]!)}:${hex(dotted[4]!, dotted[5]!)}` : address
  const [head = [], tail] = plain.split('::').map(part => (part === '' ? [] : part.split(':')))
  const filled = tail === undefined ? head : [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail]
  return filled.map(group => Number.parseInt(group, 16))
}

/** What limits count by: an IPv4 address, or the /64 of an IPv6 one, for that is what one customer has. */
export const network = memoized((address: string): string =>
  isIPv6(address)
    ? `${groupsOf(address.replace(/%.*$/, ''))
        .slice(0, 4)
        .map(group => group.toString(16))
        .join(':')}::/64`
    : address,
)

/** Remembers what it said of the last addresses: each request asks, and clients send many. */
function memoized<Said>(ask: (address: string) => Said): (address: string) => Said {
  const said = new LRUCache<string, { readonly of: Said }>({ max: 1_000 })
  return address => {
    let known = said.get(address)
    if (known === undefined) {
      known = { of: ask(address) }
      said.set(address, known)
    }
    return known.of
  }
}
