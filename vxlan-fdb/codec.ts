import type { Reader, Writer } from './bytes.ts'

/** How one kind of value lies in bytes. Types, writer and reader of a message come from one table of these. */
export type Codec<T> = {
  write(out: Writer, value: T): void
  /** A mistake goes to the reader's `error`. */
  read(from: Reader): T
}

export type ValueOf<C> = C extends Codec<infer T> ? T : never

export const u8: Codec<number> = { write: (out, value) => out.u8(value), read: from => from.u8() }

export const varint: Codec<number> = { write: (out, value) => out.varint(value), read: from => from.varint() }

/** A member's or origin's id: 16 bytes, 32 hex digits in memory. */
export const id: Codec<string> = {
  write: (out, value) => out.raw(Buffer.from(value, 'hex')),
  read: from => from.raw(16).toString('hex'),
}

/** 64 bits as two numbers, for JavaScript's own end at 53. */
export type Sum = readonly [number, number]

export const sum: Codec<Sum> = {
  write(out, [low, high]) {
    out.u32(low)
    out.u32(high)
  },
  read: from => [from.u32(), from.u32()],
}

/** Bytes with their length before them. What is read is a view of the message. */
export const blob = (most: number): Codec<Buffer> => ({
  write(out, value) {
    out.varint(value.length)
    out.raw(value)
  },
  read: from => from.raw(length(from, most)),
})

/** UTF-8; what isn't is an error, for two spellings of one key must not look alike. */
export const text = (most: number): Codec<string> => ({
  write: (out, value) => blob(most).write(out, Buffer.from(value)),
  read(from) {
    const bytes = from.raw(length(from, most))
    const value = bytes.toString('utf8')
    if (Buffer.byteLength(value) !== bytes.length || !Buffer.from(value).equals(bytes))
      from.fail('text that isn’t UTF-8')
    return value
  },
})

/** Absent, or present: an absent one takes a byte. */
export const optional = <T>(codec: Codec<T>): Codec<T | undefined> => ({
  write(out, value) {
    out.u8(value === undefined ? 0 : 1)
    if (value !== undefined) codec.write(out, value)
  },
  read(from) {
    const present = from.u8()
    if (present > 1) from.fail('neither absent nor present')
    return present === 1 ? codec.read(from) : undefined
  },
})

/** A list with its count before it. Every item takes a byte or more, so a count beyond what is left is known to be wrong at once. */
export const list = <T>(codec: Codec<T>, most: number): Codec<T[]> => ({
  write(out, values) {
    out.varint(values.length)
    for (const value of values) codec.write(out, value)
  },
  read(from) {
    const count = from.varint()
    if (count > Math.min(most, from.left)) from.fail(`list of ${count} where ${most} are allowed`)
    const values: T[] = []
    while (values.length < count && !from.error) values.push(codec.read(from))
    return values
  },
})

/** Values side by side, in the order of the table. */
export function struct<T extends object>(fields: { [K in keyof T]: Codec<T[K]> }): Codec<T> {
  const entries = Object.entries(fields) as [keyof T, Codec<unknown>][]
  return {
    write(out, value) {
      for (const [name, codec] of entries) codec.write(out, value[name])
    },
    read(from) {
      const value: Partial<Record<keyof T, unknown>> = {}
      for (const [name, codec] of entries) value[name] = codec.read(from)
      return value as T
    },
  }
}

function length(from: Reader, most: number): number {
  const size = from.varint()
  if (size <= most) return size
  from.fail(`length of ${size} where ${most} are allowed`)
  return 0
}
