import { NetlinkError } from './error.ts'
import type { Writer } from './writer.ts'

/**
 * How one kind of value lies in bytes. Integers are in host order, which is little-endian on every machine that Node
 * has builds for but s390x; `open` refuses that one. `be16`, `be32` and `be64` are in network order.
 */
export type Codec<T> = {
  /** Bytes of every value, of those that a struct may hold. */
  size?: number
  /** Its attribute carries NLA_F_NESTED when written. */
  nested?: true
  write(out: Writer, value: T): void
  /** Reads the bytes [from, to); throws EBADMSG unless they are exactly one value. */
  read(bytes: Buffer, from: number, to: number): T
}

export type ValueOf<C> = C extends Codec<infer T> ? T : never

/** Throws EBADMSG unless a value of `size` bytes fills [from, to). */
export function exactly(size: number, from: number, to: number): void {
  if (to - from !== size)
    throw NetlinkError.malformed(`value of ${to - from} bytes where ${size} were expected`)
}

function inRange(value: number, limit: number): number {
  if (!Number.isInteger(value) || value < 0 || value > limit)
    throw NetlinkError.invalid(`${value} is not within 0 to ${limit}`)
  return value
}

/** Two's complement. */
function signed(value: number): number {
  if ((value | 0) !== value) throw NetlinkError.invalid(`${value} is not within -2147483648 to 2147483647`)
  return value >>> 0
}

const swap16 = (value: number): number => ((value & 0xff) << 8) | (value >>> 8)

export const u8: Codec<number> = {
  size: 1,
  write: (out, value) => out.u8(inRange(value, 0xff)),
  read(bytes, from, to) {
    exactly(1, from, to)
    return bytes[from] as number
  },
}

export const u16: Codec<number> = {
  size: 2,
  write: (out, value) => out.u16(inRange(value, 0xffff)),
  read(bytes, from, to) {
    exactly(2, from, to)
    return bytes.readUInt16LE(from)
  },
}

export const be16: Codec<number> = {
  size: 2,
  write: (out, value) => out.u16(swap16(inRange(value, 0xffff))),
  read(bytes, from, to) {
    exactly(2, from, to)
    return bytes.readUInt16BE(from)
  },
}

export const u32: Codec<number> = {
  size: 4,
  write: (out, value) => out.u32(inRange(value, 0xffffffff)),
  read(bytes, from, to) {
    exactly(4, from, to)
    return bytes.readUInt32LE(from)
  },
}

export const s32: Codec<number> = {
  size: 4,
  write: (out, value) => out.u32(signed(value)),
  read(bytes, from, to) {
    exactly(4, from, to)
    return bytes.readInt32LE(from)
  },
}

export const be32: Codec<number> = {
  size: 4,
  write(out, value) {
    const at = out.take(4)
    out.bytes.writeUInt32BE(inRange(value, 0xffffffff), at)
  },
  read(bytes, from, to) {
    exactly(4, from, to)
    return bytes.readUInt32BE(from)
  },
}

export const bes32: Codec<number> = {
  size: 4,
  write: (out, value) => be32.write(out, signed(value)),
  read: (bytes, from, to) => be32.read(bytes, from, to) | 0,
}

export const u64: Codec<bigint> = {
  size: 8,
  write(out, value) {
    const at = out.take(8)
    out.bytes.writeBigUInt64LE(value, at)
  },
  read(bytes, from, to) {
    exactly(8, from, to)
    return bytes.readBigUInt64LE(from)
  },
}

export const be64: Codec<bigint> = {
  size: 8,
  write(out, value) {
    const at = out.take(8)
    out.bytes.writeBigUInt64BE(value, at)
  },
  read(bytes, from, to) {
    exactly(8, from, to)
    return bytes.readBigUInt64BE(from)
  },
}

/** An attribute that says everything by being there. */
export const flag: Codec<true> = {
  write() {},
  read(_, from, to) {
    exactly(0, from, to)
    return true
  },
}

/** UTF-8 text that ends with a NUL; the kernel itself leaves the NUL out in places, so reading does without. */
export const text: Codec<string> = {
  write: (out, value) => out.text(value),
  read: (bytes, from, to) => bytes.toString('utf8', from, to > from && bytes[to - 1] === 0 ? to - 1 : to),
}

/** As text, written without its NUL, where `ip` does so too. */
export const bare: Codec<string> = {
  write(out, value) {
    out.text(value)
    out.at--
  },
  read: text.read,
}

/** Bytes as they are: copied when read, for receive buffers are used again. */
export const raw: Codec<Buffer> = {
  write: (out, value) => out.raw(value),
  read: (bytes, from, to) => Buffer.from(bytes.subarray(from, to)),
}
