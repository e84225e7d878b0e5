import type { Codec } from './codec.ts'
import { NetlinkError } from './error.ts'
import type { Writer } from './writer.ts'

/** One attribute: the kernel's number and name for it, and how its value lies in bytes. */
export type Attribute<T> = { id: number; name: string; codec: Codec<T> }
// biome-ignore lint/suspicious/noExplicitAny: a table holds attributes of every type
export type Table = Record<string, Attribute<any>>
export type ValuesOf<T extends Table> = {
  -readonly [K in keyof T]?: T[K] extends Attribute<infer V> ? V : never
}

/** `attribute(1, 'IFA_ADDRESS', ip)`, a line of a table. */
export const attribute = <T>(id: number, name: string, codec: Codec<T>): Attribute<T> => ({ id, name, codec })

/** NLA_F_NESTED, which nfnetlink wants and rtnetlink does without. */
const NESTED = 0x8000
/** Without NLA_F_NESTED and NLA_F_NET_BYTEORDER (NLA_TYPE_MASK). */
const TYPE = 0x3fff

/** A codec that knows its table, so that a test can compare the numbers with the kernel's headers. */
export type AttributeSet<T extends Table> = Codec<ValuesOf<T>> & { table: T }

/** Calls `visit` for each attribute in [from, to); a length that doesn't fit is EBADMSG. */
export function eachAttribute(
  bytes: Buffer,
  from: number,
  to: number,
  visit: (id: number, start: number, end: number) => void,
): void {
  let at = from
  while (at + 4 <= to) {
    const length = bytes.readUInt16LE(at)
    if (length < 4 || at + length > to)
      throw NetlinkError.malformed(`attribute of ${length} bytes where ${to - at} are left`)
    visit(bytes.readUInt16LE(at + 2) & TYPE, at + 4, at + length)
    at += (length + 3) & ~3
  }
  // The kernel leaves out the padding of the last attribute in places, never its head.
  if (at < to) throw NetlinkError.malformed(`${to - at} stray bytes after the last attribute`)
}

/** One attribute around whatever `body` writes. */
export function writeAttribute<T>(out: Writer, id: number, codec: Codec<T>, value: T): void {
  const start = out.take(4)
  codec.write(out, value)
  const length = out.at - start
  if (length > 0xffff) throw NetlinkError.invalid(`attribute ${id} of ${length} bytes: 65535 is the most`)
  out.setU16(start, length)
  out.setU16(start + 2, codec.nested ? id | NESTED : id)
  out.pad()
}

/** A value that can't be read is told with its attribute's name. */
function read<T>({ name, codec }: Attribute<T>, bytes: Buffer, start: number, end: number): T {
  try {
    return codec.read(bytes, start, end)
  } catch (error) {
    if (error instanceof NetlinkError) throw NetlinkError.malformed(`${name}: ${error.message}`)
    throw error
  }
}

/** Attributes in the order of the value's keys, which is the order they are sent in. Unknown ones are skipped on reading. */
export function attributes<T extends Table>(table: T): AttributeSet<T> {
  const byName = new Map<string, Attribute<unknown>>(Object.entries(table))
  const byId: (string | undefined)[] = []
  for (const [key, { id }] of byName) byId[id] = key
  return {
    table,
    write(out, value) {
      for (const key in value) {
        if (value[key] === undefined) continue
        const field = byName.get(key)
        if (field === undefined) throw unknown(key, byName)
        writeAttribute(out, field.id, field.codec, value[key])
      }
    },
    read(bytes, from, to) {
      const values: Record<string, unknown> = {}
      eachAttribute(bytes, from, to, (id, start, end) => {
        const key = byId[id]
        if (key) values[key] = read(table[key] as Attribute<unknown>, bytes, start, end)
      })
      return values as ValuesOf<T>
    },
  }
}

/** A key that has no place in a message. */
export function unknown(key: string, known: Map<string, unknown>): NetlinkError {
  return NetlinkError.invalid(`nothing here is called ${key}, only ${[...known.keys()].join(', ')}`)
}

/** The same codec, its attribute marked NLA_F_NESTED when written. */
export const nested = <T extends object>(codec: T): T & { nested: true } => ({ ...codec, nested: true })

/** Many values of one kind, each in an attribute of the same number, as nfnetlink's lists are (NFTA_LIST_ELEM). */
export function list<T>(id: number, codec: Codec<T>): Codec<T[]> {
  return nested({
    write(out, values) {
      for (const value of values) writeAttribute(out, id, codec, value)
    },
    read(bytes, from, to) {
      const values: T[] = []
      eachAttribute(bytes, from, to, (_, start, end) => values.push(codec.read(bytes, start, end)))
      return values
    },
  })
}
