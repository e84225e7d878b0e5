/**
 * LZW as Go's compress/lzw speaks it with LSB order and 8-bit literals: codes of 9 to 12 bits that widen when the next
 * free code needs it (as in GIF, not one code early as in TIFF), code 256 clears, 257 ends.
 */
import { Malformed } from './malformed.ts'

const clear = 256
const end = 257
const widest = 12
const lastCode = (1 << widest) - 1

class Bits {
  readonly bytes: number[] = []
  #pending = 0
  #count = 0

  put(code: number, width: number): void {
    this.#pending |= code << this.#count
    this.#count += width
    while (this.#count >= 8) this.#shift()
  }

  flush(): Buffer {
    if (this.#count > 0) this.#shift()
    return Buffer.from(this.bytes)
  }

  #shift(): void {
    this.bytes.push(this.#pending & 0xff)
    this.#pending >>>= 8
    this.#count -= 8
  }
}

export function compress(plain: Uint8Array): Buffer {
  const bits = new Bits()
  const table = new Map<number, number>()
  let width = 9
  let next = end
  /** Counts a code as used; true when the table is full and was cleared. */
  const advance = (): boolean => {
    if (++next === 1 << width) width++
    if (next !== lastCode) return false
    bits.put(clear, widest)
    table.clear()
    width = 9
    next = end
    return true
  }
  bits.put(clear, width)
  let code = -1
  for (const byte of plain) {
    if (code < 0) {
      code = byte
      continue
    }
    const key = (code << 8) | byte
    const longer = table.get(key)
    if (longer !== undefined) {
      code = longer
      continue
    }
    bits.put(code, width)
    code = byte
    if (!advance()) table.set(key, next)
  }
  if (code >= 0) {
    bits.put(code, width)
    advance()
  }
  bits.put(end, width)
  return bits.flush()
}

/** Each code as the one it extends and its last byte. */
class Table {
  readonly #prefix = new Uint16Array(lastCode + 1)
  readonly #suffix = new Uint8Array(lastCode + 1)
  readonly #length = new Uint16Array(lastCode + 1)

  constructor() {
    for (let literal = 0; literal < clear; literal++) {
      this.#suffix[literal] = literal
      this.#length[literal] = 1
    }
  }

  add(code: number, prefix: number, suffix: number): void {
    this.#prefix[code] = prefix
    this.#suffix[code] = suffix
    this.#length[code] = this.length(prefix) + 1
  }

  length(code: number): number {
    return this.#length[code] as number
  }

  /** Writes the bytes of `code` at `at`; returns the first of them. */
  expand(code: number, into: Buffer, at: number): number {
    let walk = code
    for (let to = at + this.length(code) - 1; to > at; to--) {
      into[to] = this.#suffix[walk] as number
      walk = this.#prefix[walk] as number
    }
    into[at] = walk
    return walk
  }

  first(code: number): number {
    let walk = code
    while (this.length(walk) > 1) walk = this.#prefix[walk] as number
    return walk
  }
}

/** Codes beyond `next` are refused, so what an earlier call left in it is never read. */
const table = new Table()

/** Throws Malformed: a code that cannot be, a missing end, or more than `limit` bytes of output. */
export function decompress(packed: Uint8Array, limit: number): Buffer {
  let out = Buffer.allocUnsafe(Math.min(limit, packed.length * 4 + 64))
  let size = 0
  let at = 0
  let pending = 0
  let count = 0
  let width = 9
  let next = end
  let last = -1

  const read = (): number => {
    for (; count < width; count += 8) {
      if (at === packed.length) throw new Malformed('LZW data ends without its end code')
      pending |= (packed[at++] as number) << count
    }
    const code = pending & ((1 << width) - 1)
    pending >>>= width
    count -= width
    return code
  }
  const reserve = (more: number): void => {
    if (size + more > limit) throw new Malformed(`LZW data of more than ${limit} bytes`)
    if (size + more <= out.length) return
    const grown = Buffer.allocUnsafe(Math.min(limit, (size + more) * 2))
    out.copy(grown, 0, 0, size)
    out = grown
  }

  for (let code = read(); code !== end; code = read()) {
    if (code === clear) {
      width = 9
      next = end
      last = -1
      continue
    }
    if (code > next || (code === next && last < 0)) throw new Malformed(`LZW code ${code} before it was made`)
    if (last >= 0 && next > end) table.add(next, last, table.first(code === next ? last : code))
    reserve(table.length(code))
    table.expand(code, out, size)
    size += table.length(code)
    last = code
    if (++next < 1 << width) continue
    if (width < widest) width++
    else {
      last = -1
      next--
    }
  }
  return out.subarray(0, size)
}
