import { isIPv4, isIPv6 } from 'node:net'
import { Refused } from '../core/errors.ts'

/**
 * Addresses as numbers. The package `ip-address` was measured for this and left out: it takes `fd00::/064`, which
 * dockerd 27 refuses, and 66 µs to read and 50 µs to write an IPv6 address (here 2 and 3), so that 60 000 leases would take
 * seconds to load. What is an address is decided by `node:net`, that is by inet_pton; only the arithmetic is ours.
 */

export type Family = 4 | 6
export type Address = { family: Family; value: bigint }
/** `first` is the network address: no bit is set behind `length`. */
export type Prefix = { family: Family; first: bigint; length: number }

const bits = { 4: 32, 6: 128 } as const

/** An address as `inet_pton` takes it, without zone; undefined when `text` isn't one. */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return { family: 4, value: value4(text) }
  if (isIPv6(text) && !text.includes('%')) return { family: 6, value: value6(text) }
  return undefined
}

/** The canonical text: dotted quad, or RFC 5952. */
export function formatAddress(family: Family, value: bigint): string {
  return family === 4 ? format4(Number(value)) : format6(value)
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

/**
 * Whether a host may have this address of the pool: neither the network's own nor the broadcast address (RFC 1122 3.2.1.3),
 * nor the subnet-router anycast (RFC 4291 2.6.1). The two addresses of a /31 (RFC 3021) or /127 (RFC 6164) are both fine.
 */
export function hostable(pool: Prefix, value: bigint): boolean {
  if (bits[pool.family] - pool.length < 2) return true
  const last = pool.first + size(pool) - 1n
  return value !== pool.first && (pool.family === 6 || value !== last)
}

function value4(text: string): bigint {
  return BigInt(text.split('.').reduce((value, byte) => value * 256 + Number(byte), 0))
}

function format4(value: number): string {
  return [24, 16, 8, 0].map(shift => (value >>> shift) & 255).join('.')
}

/** The last two groups may be written as an IPv4 address. */
function value6(text: string): bigint {
  const hex = text.replace(/[\d.]+\.\d+$/, quad => {
    const value = value4(quad)
    return `${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`
  })
  const [left = [], right = []] = hex.split('::').map(half => half.split(':').filter(Boolean))
  const middle = Array<string>(8 - left.length - right.length).fill('0')
  return BigInt(`0x${[...left, ...middle, ...right].map(group => group.padStart(4, '0')).join('')}`)
}

/** The first of the longest runs of two zero groups or more is left out (RFC 5952 4.2). */
function format6(value: bigint): string {
  const groups = value.toString(16).padStart(32, '0').match(/.{4}/g) as string[]
  const text = groups.map(group => group.replace(/^0{1,3}/, '')).join(':')
  const runs = [...text.matchAll(/\b0(?::0)+\b/g)]
  if (runs.length === 0) return text
  const longest = runs.reduce((a, b) => (b[0].length > a[0].length ? b : a))
  const left = text.slice(0, longest.index).replace(/:$/, '')
  const right = text.slice(longest.index + longest[0].length).replace(/^:/, '')
  return `${left}::${right}`
}
