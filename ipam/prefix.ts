import { isIPv4, isIPv6 } from 'node:net'
import { Address4, Address6 } from 'ip-address'
import { Refused } from '../core/errors.ts'

/**
 * Addresses as numbers, by the package `ip-address`. What is an address is decided before by `node:net`, that is by
 * inet_pton, and what is a length here: the package takes `fd00::/064` too, which dockerd 27 refuses.
 */

export type Family = 4 | 6
export type Address = { family: Family; value: bigint }
/** `first` is the network address: no bit is set behind `length`. */
export type Prefix = { family: Family; first: bigint; length: number }

const bits = { 4: 32, 6: 128 } as const

/** An address as `inet_pton` takes it, without zone; undefined when `text` isn't one. */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return { family: 4, value: new Address4(text).bigInt() }
  if (isIPv6(text) && !text.includes('%')) return { family: 6, value: new Address6(text).bigInt() }
  return undefined
}

/** The canonical text: dotted quad, or RFC 5952. */
export function formatAddress(family: Family, value: bigint): string {
  return (family === 4 ? Address4 : Address6).fromBigInt(value).correctForm()
}

/**
 * A prefix in CIDR form. Host bits are dropped, for `docker network create --subnet 10.0.0.1/24` is common.
 * @throws Refused naming `what` when the text isn't strict: leading zeros, zones and missing lengths are none.
 */
export function parsePrefix(text: string, what: string): Prefix {
  const [, head = '', tail = ''] = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? []
  const address = parseAddress(head)
  const length = Number(tail)
  if (!address || length > bits[address.family]) {
    throw new Refused(`${what} "${text}" is no prefix: expected one like 10.31.0.0/24 or fd00:31::/64`)
  }
  return prefixOf(address, length)
}

/** The prefix of this length that an address lies in. */
export function prefixOf({ family, value }: Address, length: number): Prefix {
  const host = BigInt(bits[family] - length)
  return { family, first: (value >> host) << host, length }
}

export function formatPrefix({ family, first, length }: Prefix): string {
  return `${formatAddress(family, first)}/${length}`
}

/** How many addresses it has, those that no host may have included. */
export function size({ family, length }: Prefix): bigint {
  return 1n << BigInt(bits[family] - length)
}

export function contains(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && overlaps(outer, inner)
}

export function includes(pool: Prefix, { family, value }: Address): boolean {
  return contains(pool, { family, first: value, length: bits[family] })
}

/** Two prefixes overlap when they agree in the bits that both have. */
export function overlaps(a: Prefix, b: Prefix): boolean {
  const rest = BigInt(bits[a.family] - Math.min(a.length, b.length))
  return a.family === b.family && (a.first ^ b.first) >> rest === 0n
}

/** The fewest prefixes that have the same addresses as these, which don't overlap; in the order of their addresses. */
export function merged(prefixes: readonly Prefix[]): Prefix[] {
  const all: Prefix[] = []
  for (const each of prefixes.toSorted((a, b) => (a.first < b.first ? -1 : 1))) {
    let last = each
    for (let before = all.at(-1); before && areHalves(before, last); before = all.at(-1)) {
      all.pop()
      last = { ...before, length: before.length - 1 }
    }
    all.push(last)
  }
  return all
}

/** Whether two prefixes are the lower and the upper half of one. */
const areHalves = (lower: Prefix, upper: Prefix): boolean =>
  lower.length === upper.length &&
  lower.first + size(lower) === upper.first &&
  lower.first % (2n * size(lower)) === 0n

/**
 * Whether a host may have this address of the pool: neither the network's own nor the broadcast address (RFC 1122 3.2.1.3),
 * nor the subnet-router anycast (RFC 4291 2.6.1). The two addresses of a /31 (RFC 3021) or /127 (RFC 6164) are both fine.
 */
export function hostable(pool: Prefix, value: bigint): boolean {
  if (bits[pool.family] - pool.length < 2) return true
  const last = pool.first + size(pool) - 1n
  return value !== pool.first && (pool.family === 6 || value !== last)
}
