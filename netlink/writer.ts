/** A buffer that grows while messages are written into it. */
export class Writer {
  bytes: Buffer
  #view: DataView
  /** Where the next value goes. */
  at = 0

  constructor(size = 65536) {
    this.bytes = Buffer.alloc(size)
    this.#view = new DataView(this.bytes.buffer, this.bytes.byteOffset)
  }

  /** Room for `size` more bytes; answers where it begins. The room holds whatever was there before. */
  take(size: number): number {
    const from = this.at
    this.at += size
    if (this.at > this.bytes.length) this.#grow()
    return from
  }

  /** As take, but the room holds zeroes. */
  zeroes(size: number): number {
    const from = this.take(size)
    for (let at = from; at < this.at; at++) this.bytes[at] = 0
    return from
  }

  /** Writes a value into room that was taken before. */
  inside<T>(at: number, codec: { write(out: Writer, value: T): void }, value: T): void {
    const end = this.at
    this.at = at
    codec.write(this, value)
    this.at = end
  }

  u8(value: number): void {
    const at = this.take(1)
    this.bytes[at] = value
  }

  u16(value: number): void {
    const at = this.take(2)
    this.#view.setUint16(at, value, true)
  }

  u32(value: number): void {
    const at = this.take(4)
    this.#view.setUint32(at, value, true)
  }

  text(value: string): void {
    const start = this.take(value.length * 3 + 1)
    const length = this.bytes.write(value, start)
    this.at = start + length
    this.u8(0)
  }

  raw(value: Uint8Array): void {
    const at = this.take(value.length)
    this.bytes.set(value, at)
  }

  /** Zeroes up to the next multiple of four, the alignment of attributes and messages (NLA_ALIGNTO, NLMSG_ALIGNTO). */
  pad(): void {
    while (this.at & 3) this.u8(0)
  }

  setU16(at: number, value: number): void {
    this.#view.setUint16(at, value, true)
  }

  orU16(at: number, bits: number): void {
    this.#view.setUint16(at, this.#view.getUint16(at, true) | bits, true)
  }

  setU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true)
  }

  #grow(): void {
    const grown = Buffer.alloc(Math.max(this.at, this.bytes.length * 2))
    this.bytes.copy(grown)
    this.bytes = grown
    this.#view = new DataView(grown.buffer, grown.byteOffset)
  }
}
