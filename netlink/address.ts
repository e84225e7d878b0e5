import type { Codec } from './codec.ts'
import { NetlinkError } from './error.ts'
import type { Writer } from './writer.ts'

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Value of a hex digit by its character code, -1 for every other character. */
const DIGITS = new Int8Array(128).fill(-1)
for (let value = 0; value < 16; value++) {
  DIGITS[value.toString(16).charCodeAt(0)] = value
  DIGITS[value.toString(16).toUpperCase().charCodeAt(0)] = value
}

const digit = (text: string, at: number): number => DIGITS[text.charCodeAt(at)] ?? -1

/** Longest link-layer address, MAX_ADDR_LEN of linux/netdevice.h: infiniband has 20 bytes, a tunnel 4 or 16. */
const MAX_ADDRESS = 32
const COLON = 58
const DOT = 46

/** A link-layer address, `02:42:ac:11:00:02`. */
export const mac: Codec<string> = {
  write(out, value) {
    const size = (value.length + 1) / 3
    if (!Number.isInteger(size) || size > MAX_ADDRESS)
      throw NetlinkError.invalid(`'${value}' is not a link-layer address`)
    const start = out.take(size)
    for (let i = 0, at = 0; i < size; i++, at += 3) {
      const high = digit(value, at)
      const low = digit(value, at + 1)
      const separated = i === size - 1 || value.charCodeAt(at + 2) === COLON
      if (high < 0 || low < 0 || !separated)
        throw NetlinkError.invalid(`'${value}' is not a link-layer address`)
      out.bytes[start + i] = high * 16 + low
    }
  },
  read(bytes, from, to) {
    if (to - from > MAX_ADDRESS) throw NetlinkError.malformed(`link-layer address of ${to - from} bytes`)
    let value = ''
    for (let at = from; at < to; at++) value += (at > from ? ':' : '') + HEX[bytes[at] as number]
    return value
  },
}

function bad(value: string): never {
  throw NetlinkError.invalid(`'${value}' is not an IP address`)
}

function writeFour(out: Writer, value: string, from = 0): void {
  let byte = 0
  let digits = 0
  let dots = 0
  for (let at = from; at < value.length; at++) {
    const code = value.charCodeAt(at)
    if (code === DOT && digits > 0 && dots < 3) {
      out.u8(byte)
      byte = digits = 0
      dots++
    } else {
      if (digits > 0 && byte === 0) bad(value)
      byte = byte * 10 + code - 48
      if (code < 48 || code > 57 || ++digits > 3 || byte > 255) bad(value)
    }
  }
  if (dots !== 3 || digits === 0) bad(value)
  out.u8(byte)
}

/** RFC 4291, section 2.2: groups of hex digits, `::` once for the zeroes, the last two groups perhaps as IPv4. */
function writeSix(out: Writer, value: string): void {
  const start = out.zeroes(16)
  out.at = start
  let gap = -1
  let at = value.startsWith('::') ? 2 : 0
  if (at) gap = start
  while (at < value.length) {
    const end = value.indexOf(':', at) < 0 ? value.length : value.indexOf(':', at)
    writeGroup(out, value, at, end)
    at = end + 1
    if (at === value.length) bad(value)
    if (value[at] === ':') {
      if (gap >= 0) bad(value)
      gap = out.at
      at++
    }
  }
  const written = out.at - start
  if (written > 16 || (gap < 0 ? written !== 16 : written === 16)) bad(value)
  if (gap >= 0) {
    out.bytes.copyWithin(start + 16 - (out.at - gap), gap, out.at)
    out.bytes.fill(0, gap, start + 16 - (out.at - gap))
  }
  out.at = start + 16
}

function writeGroup(out: Writer, value: string, from: number, to: number): void {
  if (to === value.length && value.indexOf('.', from) >= 0) {
    writeFour(out, value, from)
    return
  }
  let group = 0
  for (let at = from; at < to; at++) {
    const next = digit(value, at)
    if (next < 0) bad(value)
    group = group * 16 + next
  }
  if (to === from || to - from > 4) bad(value)
  out.u8(group >> 8)
  out.u8(group & 0xff)
}

const four = (bytes: Buffer, at: number): string =>
  `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`

/** RFC 5952: lower case, no leading zeroes, the longest run of two or more zero groups as `::`. */
function six(bytes: Buffer, at: number): string {
  const groups = Array.from({ length: 8 }, (_, place) => bytes.readUInt16BE(at + place * 2))
  if (groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff)
    return `::ffff:${four(bytes, at + 12)}`
  let best = 0
  let longest = 1
  for (let first = 0, length = 0; first < 8; first += length + 1) {
    length = 0
    while (groups[first + length] === 0) length++
    if (length > longest) [best, longest] = [first, length]
  }
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map(group => group.toString(16))
      .join(':')
  return longest > 1 ? `${hex(0, best)}::${hex(best + longest, 8)}` : hex(0, 8)
}

/** An IPv4 or IPv6 address as text; four bytes or sixteen. */
export const ip: Codec<string> = {
  write(out, value) {
    if (value.indexOf(':') < 0) writeFour(out, value)
    else writeSix(out, value)
  },
  read(bytes, from, to) {
    if (to - from === 4) return four(bytes, from)
    if (to - from === 16) return six(bytes, from)
    throw NetlinkError.malformed(`IP address of ${to - from} bytes`)
  },
}
