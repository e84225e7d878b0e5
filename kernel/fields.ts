import { isIPv4, isIPv6 } from 'node:net'
import { Address6 } from 'ip-address'
import type { FieldType } from '../core/rows.ts'

/**
 * Keys and values of set elements in the kernel's bytes. Each field is padded to four bytes; numbers are big endian; a
 * link name fills IFNAMSIZ. (nft_set_ext and netlink_gen_concat_key() of nftables are the sources.)
 */
export const WIDTH: { [type in FieldType]: number } = {
  ipv4_addr: 4,
  ipv6_addr: 16,
  inet_proto: 1,
  inet_service: 2,
  ifname: 16,
  vni: 3,
}

/** Numbers that nft gives its types; a set remembers them, six bits a field (TYPE_BITS in nftables' datatype.h). */
const TYPE_ID: { [type in FieldType]: number } = {
  ipv4_addr: 7,
  ipv6_addr: 8,
  inet_proto: 12,
  inet_service: 13,
  ifname: 41,
  vni: 4,
}
const TYPE_BITS = 6
const PROTO: Record<string, number> = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, 'ipv6-icmp': 58, sctp: 132 }

const padded = (width: number) => (width + 3) & ~3

/** Bytes of a key or value of these types. */
export function width(types: readonly FieldType[]): number {
  return types.length === 1
    ? WIDTH[types[0] as FieldType]
    : types.reduce((sum, type) => sum + padded(WIDTH[type]), 0)
}

/** nft's number for a key of these types (NFTA_SET_KEY_TYPE), and back. */
export function typeId(types: readonly FieldType[]): number {
  return types.reduce((id, type) => (id << TYPE_BITS) | TYPE_ID[type], 0)
}

export function typesOf(id: number): FieldType[] | undefined {
  const types: FieldType[] = []
  for (let rest = id; rest > 0; rest >>>= TYPE_BITS) {
    const found = Object.entries(TYPE_ID).find(([, each]) => each === (rest & ((1 << TYPE_BITS) - 1)))
    if (!found) return undefined
    types.unshift(found[0] as FieldType)
  }
  return types.length > 0 ? types : undefined
}

/** First and last value of each field, one after the other; equal where the element is no interval. */
export type Span = { from: Uint8Array; to: Uint8Array }

/** Undefined when the words don't fit the types. An interval is `a-b` or a prefix `a/n`, where `interval` allows it. */
export function encodeFields(
  types: readonly FieldType[],
  words: readonly string[],
  interval: boolean,
): Span | undefined {
  if (types.length !== words.length) return undefined
  const span = { from: new Uint8Array(width(types)), to: new Uint8Array(width(types)) }
  let offset = 0
  for (const [i, type] of types.entries()) {
    const field = encodeField(type, unquote(words[i] as string), interval)
    if (!field) return undefined
    span.from.set(field.from, offset)
    span.to.set(field.to, offset)
    offset += padded(WIDTH[type])
  }
  return span
}

const unquote = (word: string) => (/^".*"$/.test(word) ? word.slice(1, -1) : word)

function encodeField(type: FieldType, word: string, interval: boolean): Span | undefined {
  if (type === 'ifname') return point(ifname(word))
  const prefix = interval && /^(.+)\/(\d+)$/.exec(word)
  if (prefix) return masked(type, prefix[1] as string, Number(prefix[2]))
  const [from, to, ...more] = interval ? word.split('-') : [word]
  const [first, last] = [from, to ?? from].map(each => encodeValue(type, each as string))
  return first && last && more.length === 0 ? { from: first, to: last } : undefined
}

const point = (bytes: Uint8Array | undefined) => bytes && { from: bytes, to: bytes }

function ifname(word: string): Uint8Array | undefined {
  const bytes = Buffer.from(word)
  if (bytes.length === 0 || bytes.length >= WIDTH.ifname) return undefined
  return Buffer.concat([bytes], WIDTH.ifname)
}

/** The first and last address of a prefix. */
function masked(type: FieldType, address: string, length: number): Span | undefined {
  const bytes = encodeValue(type, address)
  if (!bytes || !type.endsWith('_addr') || length > bytes.length * 8) return undefined
  const mask = (i: number) => 0xff & ~(0xff >> Math.max(0, Math.min(8, length - i * 8)))
  return {
    from: bytes.map((byte, i) => byte & mask(i)),
    to: bytes.map((byte, i) => byte | (0xff & ~mask(i))),
  }
}

function encodeValue(type: FieldType, word: string): Uint8Array | undefined {
  switch (type) {
    case 'ipv4_addr':
      return isIPv4(word) ? Uint8Array.from(word.split('.'), Number) : undefined
    case 'ipv6_addr':
      return Address6.isValid(word) && !/[/%]/.test(word)
        ? bytesOf(new Address6(word).bigInt(), 16)
        : undefined
    case 'inet_proto':
      return number(String(PROTO[word] ?? word), 1)
    case 'inet_service':
      return number(word, 2)
    case 'vni':
      return number(word, 3)
    case 'ifname':
      return ifname(word)
  }
}

function number(word: string, bytes: number): Uint8Array | undefined {
  const value = Number(word)
  if (!/^\d+$/.test(word) || value >= 256 ** bytes) return undefined
  return Uint8Array.from({ length: bytes }, (_, i) => value >> (8 * (bytes - 1 - i)))
}

function bytesOf(value: bigint, length: number): Uint8Array {
  return Buffer.from(value.toString(16).padStart(length * 2, '0'), 'hex')
}

/** The words of a key or value, as `nft --numeric-priority list` would print them but for the quotes of link names. */
export function decodeFields(types: readonly FieldType[], { from, to }: Span): string[] {
  let offset = 0
  return types.map(type => {
    const [first, last] = [from, to].map(bytes => bytes.subarray(offset, offset + WIDTH[type]))
    offset += padded(WIDTH[type])
    return decodeField(type, first as Uint8Array, last as Uint8Array)
  })
}

function decodeField(type: FieldType, first: Uint8Array, last: Uint8Array): string {
  const from = decodeValue(type, first)
  if (Buffer.compare(first, last) === 0) return from
  const length = type.endsWith('_addr') ? prefixLength(first, last) : undefined
  return length === undefined ? `${from}-${decodeValue(type, last)}` : `${from}/${length}`
}

/** The length of the prefix that runs from the first to the last address; undefined where they span none. */
function prefixLength(first: Uint8Array, last: Uint8Array): number | undefined {
  const [from, to] = [first, last].map(bytes => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)) as [
    bigint,
    bigint,
  ]
  const size = to - from + 1n
  const bits = size.toString(2).length - 1
  return size === 1n << BigInt(bits) && (from & (size - 1n)) === 0n ? first.length * 8 - bits : undefined
}

function decodeValue(type: FieldType, bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex')
  switch (type) {
    case 'ipv4_addr':
      return bytes.join('.')
    case 'ipv6_addr':
      return Address6.fromBigInt(BigInt(`0x${hex}`)).correctForm()
    case 'inet_proto':
      return Object.keys(PROTO).find(name => PROTO[name] === bytes[0]) ?? String(bytes[0])
    case 'inet_service':
    case 'vni':
      return String(Number.parseInt(hex, 16))
    case 'ifname':
      return Buffer.from(bytes).toString().replace(/\0+$/, '')
  }
}

/** One more than these bytes, read as a big-endian number; undefined when there is no such value. */
export function successor(bytes: Uint8Array): Uint8Array | undefined {
  const next = BigInt(`0x${Buffer.from(bytes).toString('hex')}`) + 1n
  return next < 1n << BigInt(bytes.length * 8) ? bytesOf(next, bytes.length) : undefined
}

/** One less; undefined for zero. */
export function predecessor(bytes: Uint8Array): Uint8Array | undefined {
  const value = BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
  return value > 0n ? bytesOf(value - 1n, bytes.length) : undefined
}

/** One spelling of each address without prefix length; undefined for what is none. */
export function plain(address: string): string | undefined {
  if (isIPv4(address)) return address
  const bytes = isIPv6(address) ? encodeValue('ipv6_addr', address) : undefined
  return bytes && Buffer.from(bytes).toString('hex')
}

/** Six bytes in lower case, as the kernel's answers are printed. */
export const isMac = (text: string) => /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(text)
