/** Bytes being written. Grows as needed. */
export class Writer {
  #bytes = Buffer.allocUnsafe(256)
  #at = 0

  u8(value: number): void {
    // The buffer is looked at after it has grown.
    const at = this.#room(1)
    this.#bytes[at] = value
  }

  u32(value: number): void {
    const at = this.#room(4)
    this.#bytes.writeUInt32LE(value, at)
  }

  /** LEB128, up to 2^53 - 1: seven bits a byte, the lowest first. */
  varint(value: number): void {
    let rest = value
    for (; rest > 0x7f; rest = Math.floor(rest / 128)) this.u8((rest % 128) | 0x80)
    this.u8(rest)
  }

  raw(bytes: Uint8Array): void {
    const at = this.#room(bytes.length)
    this.#bytes.set(bytes, at)
  }

  done(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#at))
  }

  #room(size: number): number {
    const at = this.#at
    this.#at += size
    if (this.#at > this.#bytes.length) {
      const more = Buffer.allocUnsafe(Math.max(this.#at, this.#bytes.length * 2))
      this.#bytes.copy(more)
      this.#bytes = more
    }
    return at
  }
}

/**
 * Bytes being read. The first mistake is kept in `error` and everything read after it is zero or empty, so that a decoder
 * asks once, at its end.
 */
export class Reader {
  readonly bytes: Buffer
  at = 0
  error: string | undefined

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  fail(reason: string): void {
    this.error ??= `${reason} at byte ${this.at}`
    this.at = this.bytes.length
  }

  get left(): number {
    return this.bytes.length - this.at
  }

  u8(): number {
    if (this.left < 1) return this.#short()
    return this.bytes[this.at++] as number
  }

  u32(): number {
    if (this.left < 4) return this.#short()
    this.at += 4
    return this.bytes.readUInt32LE(this.at - 4)
  }

  varint(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) break
      if (scale > 2 ** 42) return this.#never('number beyond 2^53')
    }
    return value <= Number.MAX_SAFE_INTEGER ? value : this.#never('number beyond 2^53')
  }

  /** A view, not a copy. */
  raw(size: number): Buffer {
    if (size > this.left) {
      this.#short()
      return this.bytes.subarray(0, 0)
    }
    this.at += size
    return this.bytes.subarray(this.at - size, this.at)
  }

  #short(): number {
    return this.#never('cut short')
  }

  #never(reason: string): number {
    this.fail(reason)
    return 0
  }
}
