import { Malformed } from './malformed.ts'
import { Reader, Writer } from './msgpack.ts'

/**
 * One kind of value in a message table. Go reads nil as the zero value of any type, and leaves the zero value where a key
 * is missing: so does this.
 */
export type Kind<T> = {
  readonly zero: T
  write(out: Writer, value: T): void
  read(from: Reader): T
}

/** A field that Go declares with `omitempty`. */
export type Optional<T> = Kind<T> & { readonly optional: true }

export type Fields = Record<string, Kind<unknown>>
type TypeOf<K> = K extends Kind<infer T> ? T : never
type OptionalNames<F> = { [N in keyof F]: F[N] extends Optional<unknown> ? N : never }[keyof F]
export type RecordOf<F> = { [N in Exclude<keyof F, OptionalNames<F>>]: TypeOf<F[N]> } & {
  [N in OptionalNames<F>]?: TypeOf<F[N]>
}
export type ValueOf<K> = TypeOf<K>

function unsigned(bits: number): Kind<number> {
  const limit = 2 ** bits
  return {
    zero: 0,
    write: (out, value) => out.unsigned(value),
    read(from) {
      const value = Number(from.integer())
      if (value < 0 || value >= limit) throw new Malformed(`${value} is not within 0 to ${limit - 1}`)
      return value
    },
  }
}

export const u8 = unsigned(8)
export const u16 = unsigned(16)
export const u32 = unsigned(32)

/** Lamport times. Beyond 2^53 the clock of a cluster was forged, and is refused. */
export const u53 = unsigned(53)

/** A Go int: signed on the wire. Nanoseconds of more than 104 days lose precision, nothing else. */
export const int: Kind<number> = {
  zero: 0,
  write: (out, value) => out.signed(value),
  read: from => Number(from.integer()),
}

export const bool: Kind<boolean> = {
  zero: false,
  write: (out, value) => out.boolean(value),
  read: from => from.boolean(),
}

export const text: Kind<string> = {
  zero: '',
  write: (out, value) => out.raw(Buffer.from(value)),
  read: from => from.raw().toString(),
}

const nothing = Buffer.alloc(0)

/** Without bytes a nil goes out, as of a nil slice. */
export const bytes: Kind<Buffer> = {
  zero: nothing,
  write: (out, value) => (value.length ? out.raw(value) : out.nil()),
  read: from => Buffer.from(from.raw()),
}

/** Left out when undefined. */
export const optional = <T>(kind: Kind<T>): Optional<T> => ({ ...kind, optional: true })

/** A Go pointer: nil is undefined. */
export const nullable = <T>(kind: Kind<T>): Kind<T | undefined> => ({
  zero: undefined,
  write: (out, value) => (value === undefined ? out.nil() : kind.write(out, value)),
  read: from => kind.read(from),
})

/** A Go slice; an empty one goes out as nil. */
export const list = <T>(kind: Kind<T>): Kind<T[]> => ({
  zero: [],
  write(out, values) {
    if (values.length === 0) return out.nil()
    out.array(values.length)
    for (const value of values) kind.write(out, value)
  },
  read: from => Array.from({ length: from.array() }, () => readOr(kind, from)),
})

/** A Go map with text as keys. */
export const dictionary = <T>(kind: Kind<T>): Kind<Map<string, T>> => ({
  zero: new Map(),
  write(out, values) {
    out.map(values.size)
    for (const [key, value] of [...values].sort(([a], [b]) => (a < b ? -1 : 1))) {
      text.write(out, key)
      kind.write(out, value)
    }
  },
  read(from) {
    const values = new Map<string, T>()
    for (let left = from.map(); left > 0; left--) values.set(text.read(from), readOr(kind, from))
    return values
  },
})

/** A Go struct: a map with the field names as keys, in alphabetical order as Go writes them. */
export function record<F extends Fields>(fields: F): Kind<RecordOf<F>> {
  const names = Object.keys(fields).sort()
  const required = Object.fromEntries(
    names.filter(name => !isOptional(fields[name])).map(name => [name, fields[name]?.zero]),
  )
  return {
    zero: required as RecordOf<F>,
    write(out, value) {
      const present = names.filter(
        name => (value as Record<string, unknown>)[name] !== undefined || !isOptional(fields[name]),
      )
      out.map(present.length)
      for (const name of present) {
        text.write(out, name)
        fields[name]?.write(out, (value as Record<string, unknown>)[name])
      }
    },
    read(from) {
      const value: Record<string, unknown> = { ...required }
      for (let left = from.map(); left > 0; left--) {
        const name = text.read(from)
        const kind = Object.hasOwn(fields, name) ? fields[name] : undefined
        if (kind) value[name] = readOr(kind, from)
        else from.skip()
      }
      return value as RecordOf<F>
    },
  }
}

const isOptional = (kind: Kind<unknown> | undefined): boolean => kind !== undefined && 'optional' in kind

const readOr = <T>(kind: Kind<T>, from: Reader): T => (from.nil() ? kind.zero : kind.read(from))

export function encode<T>(kind: Kind<T>, value: T): Buffer {
  const out = new Writer()
  kind.write(out, value)
  return out.done()
}

/** The bytes are one value; what follows it is left alone, as Go does. Throws Malformed. */
export const decode = <T>(kind: Kind<T>, from: Buffer): T => readOr(kind, new Reader(from))
