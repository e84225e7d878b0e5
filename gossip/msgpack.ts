/**
 * MessagePack as go-msgpack 0.5.5 speaks it by default: text and bytes are both written as raw (fixraw, raw16, raw32),
 * never as str8 or bin; every form is read. The npm packages either write the newer forms only or don't say how many
 * bytes a value took, which streams without a length prefix need; hence these two classes.
 */
import { Malformed, Truncated } from './malformed.ts'

/** Maps and arrays within one another. memberlist needs two, serf four. */
const deepest = 8

export class Writer {
  #bytes = Buffer.allocUnsafe(128)
  #at = 0

  /** What was written; the writer is not used after. */
  done(): Buffer {
    return this.#bytes.subarray(0, this.#at)
  }

  u8(value: number): void {
    const at = this.#take(1)
    this.#bytes[at] = value
  }

  copy(bytes: Uint8Array): void {
    const at = this.#take(bytes.length)
    this.#bytes.set(bytes, at)
  }

  nil(): void {
    this.u8(0xc0)
  }

  boolean(value: boolean): void {
    this.u8(value ? 0xc3 : 0xc2)
  }

  unsigned(value: number | bigint): void {
    if (value < 0x80) this.u8(Number(value))
    else if (value < 0x100) this.#number(0xcc, 1, value)
    else if (value < 0x10000) this.#number(0xcd, 2, value)
    else if (value < 0x100000000) this.#number(0xce, 4, value)
    else this.#number(0xcf, 8, value)
  }

  signed(value: number | bigint): void {
    if (value >= -32 && value < 0x80) this.u8(Number(value) & 0xff)
    else if (value >= -0x80 && value < 0x80) this.#number(0xd0, 1, value)
    else if (value >= -0x8000 && value < 0x8000) this.#number(0xd1, 2, value)
    else if (value >= -0x80000000 && value < 0x80000000) this.#number(0xd2, 4, value)
    else this.#number(0xd3, 8, value)
  }

  raw(bytes: Uint8Array): void {
    this.#length(bytes.length, 0xa0, 32, 0xda)
    this.copy(bytes)
  }

  array(count: number): void {
    this.#length(count, 0x90, 16, 0xdc)
  }

  map(count: number): void {
    this.#length(count, 0x80, 16, 0xde)
  }

  #length(count: number, fix: number, below: number, wide: number): void {
    if (count < below) this.u8(fix | count)
    else if (count < 0x10000) this.#number(wide, 2, count)
    else this.#number(wide + 1, 4, count)
  }

  #number(head: number, size: number, value: number | bigint): void {
    this.u8(head)
    const at = this.#take(size)
    if (size === 8) this.#bytes.writeBigUInt64BE(BigInt.asUintN(64, BigInt(value)), at)
    else this.#bytes.writeUIntBE(Number(BigInt.asUintN(size * 8, BigInt(value))), at, size)
  }

  #take(size: number): number {
    const at = this.#at
    this.#at += size
    if (this.#at > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#at, this.#bytes.length * 2))
      grown.set(this.#bytes.subarray(0, at))
      this.#bytes = grown
    }
    return at
  }
}

/** Reads one value after the other; throws Malformed, or Truncated where more bytes might help. */
export class Reader {
  readonly bytes: Buffer
  at: number

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  get left(): number {
    return this.bytes.length - this.at
  }

  u8(): number {
    return this.take(1)[0] as number
  }

  take(size: number): Buffer {
    if (size > this.left) throw new Truncated(`${size} bytes announced, ${this.left} are there`)
    this.at += size
    return this.bytes.subarray(this.at - size, this.at)
  }

  unsigned(size: number): number {
    return this.take(size).readUIntBE(0, size)
  }

  /** Consumes a nil if that is next. */
  nil(): boolean {
    if (this.left < 1) throw new Truncated('a value is missing')
    if (this.bytes[this.at] !== 0xc0) return false
    this.at++
    return true
  }

  boolean(): boolean {
    const head = this.u8()
    if (head !== 0xc2 && head !== 0xc3) throw unexpected(head, 'a boolean')
    return head === 0xc3
  }

  /** A bigint only where the sender took eight bytes. */
  integer(): number | bigint {
    const head = this.u8()
    if (head < 0x80) return head
    if (head >= 0xe0) return head - 0x100
    if (head >= 0xcc && head <= 0xce) return this.unsigned(1 << (head - 0xcc))
    if (head === 0xcf) return this.take(8).readBigUInt64BE()
    if (head === 0xd3) return this.take(8).readBigInt64BE()
    if (head < 0xd0 || head > 0xd2) throw unexpected(head, 'an integer')
    const size = 1 << (head - 0xd0)
    return this.take(size).readIntBE(0, size)
  }

  raw(): Buffer {
    return this.take(this.#rawLength(this.u8()))
  }

  array(): number {
    const head = this.u8()
    return this.#fits(this.#count(head, 0x90, 0xdc, 'an array'))
  }

  map(): number {
    const head = this.u8()
    return this.#fits(this.#count(head, 0x80, 0xde, 'a map'))
  }

  /** Passes over one value of any type. */
  skip(depth = 0): void {
    if (depth > deepest) throw new Malformed('nested too deeply')
    const head = this.bytes[this.at] ?? this.u8()
    if ((head & 0xf0) === 0x80 || head === 0xde || head === 0xdf) this.#skipMany(this.map() * 2, depth)
    else if ((head & 0xf0) === 0x90 || head === 0xdc || head === 0xdd) this.#skipMany(this.array(), depth)
    else this.#skipOne()
  }

  #skipMany(count: number, depth: number): void {
    for (let i = 0; i < count; i++) this.skip(depth + 1)
  }

  #skipOne(): void {
    const head = this.u8()
    if (head < 0x80 || head >= 0xe0 || head === 0xc0 || head === 0xc2 || head === 0xc3) return
    if (head >= 0xc7 && head <= 0xc9) this.take(this.unsigned(1 << (head - 0xc7)) + 1)
    else if (head === 0xca || head === 0xcb) this.take(head === 0xca ? 4 : 8)
    else if (head >= 0xcc && head <= 0xd3) this.take(1 << (head & 3))
    else if (head >= 0xd4 && head <= 0xd8) this.take(1 + (1 << (head - 0xd4)))
    else this.take(this.#rawLength(head))
  }

  #rawLength(head: number): number {
    if (head >= 0xa0 && head < 0xc0) return head & 0x1f
    if (head >= 0xc4 && head <= 0xc6) return this.unsigned(1 << (head - 0xc4))
    if (head >= 0xd9 && head <= 0xdb) return this.unsigned(1 << (head - 0xd9))
    throw unexpected(head, 'text or bytes')
  }

  #count(head: number, fix: number, wide: number, what: string): number {
    if ((head & 0xf0) === fix) return head & 0x0f
    if (head === wide || head === wide + 1) return this.unsigned(head === wide ? 2 : 4)
    throw unexpected(head, what)
  }

  /** Every element takes a byte at least, so a forged count fails before anything is made for it. */
  #fits(count: number): number {
    if (count > this.left) throw new Truncated(`${count} elements announced, ${this.left} bytes are there`)
    return count
  }
}

function unexpected(head: number, what: string): Malformed {
  return new Malformed(`0x${head.toString(16)} where ${what} was expected`)
}
