import {
  type Attribute,
  type AttributeSet,
  type Table,
  unknown,
  type ValuesOf,
  writeAttribute,
} from './attributes.ts'
import type { Codec, ValueOf } from './codec.ts'
import { NetlinkError } from './error.ts'
import { Writer } from './writer.ts'

/** A C struct: fields in order, those that begin with an underscore are padding. */
type Fields = Record<string, Codec<number>>
type HeaderOf<F extends Fields> = { [K in keyof F as K extends `_${string}` ? never : K]: ValueOf<F[K]> }

/** What follows a message's nlmsghdr: a fixed header and attributes, as one flat value. */
export type Body<In, Out> = {
  size: number
  set: AttributeSet<Table>
  write(out: Writer, value: In): void
  /** Throws NetlinkError EBADMSG when the bytes aren't one such body. */
  read(bytes: Buffer, from: number, to: number): Out
}

// biome-ignore lint/suspicious/noExplicitAny: a body whose value is of no interest
export type AnyBody = Body<any, any>

type Place = { offset: number; codec: Codec<number>; id?: never } | (Attribute<unknown> & { offset?: never })

/** Where each header field lies, by name; padding is left out. */
function layout(header: Fields): {
  places: [string, { offset: number; codec: Codec<number> }][]
  size: number
} {
  const places: [string, { offset: number; codec: Codec<number> }][] = []
  let size = 0
  for (const [name, codec] of Object.entries(header)) {
    if (!name.startsWith('_')) places.push([name, { offset: size, codec }])
    size += codec.size as number
  }
  return { places, size }
}

/** Declares a body. Header fields that a value leaves out are zero; its attributes go in the order of its keys. */
export function body<F extends Fields, T extends Table>(
  header: F,
  set: AttributeSet<T>,
): Body<Partial<HeaderOf<F>> & ValuesOf<T>, HeaderOf<F> & ValuesOf<T>> {
  const { places, size } = layout(header)
  const byName = new Map<string, Place>([...Object.entries(set.table), ...places])
  const padded = (size + 3) & ~3
  return {
    size,
    set: set as unknown as AttributeSet<Table>,
    write(out, value) {
      const start = out.zeroes(padded)
      for (const key in value) {
        const field = value[key as keyof typeof value] as unknown
        if (field === undefined) continue
        const place = byName.get(key)
        if (place === undefined) throw unknown(key, byName)
        if (place.offset === undefined) writeAttribute(out, place.id, place.codec, field)
        else out.inside(start + place.offset, place.codec, field as number)
      }
    },
    read(bytes, from, to) {
      if (from + size > to)
        throw NetlinkError.malformed(`message of ${to - from} bytes where ${size} were expected`)
      const values = (from + padded < to ? set.read(bytes, from + padded, to) : {}) as Record<string, unknown>
      for (const [name, { offset, codec }] of places) {
        values[name] = codec.read(bytes, from + offset, from + offset + (codec.size as number))
      }
      return values as HeaderOf<F> & ValuesOf<T>
    },
  }
}

/** Flags of struct nlmsghdr (linux/netlink.h). */
export const NLM_F = {
  REQUEST: 0x01,
  MULTI: 0x02,
  ACK: 0x04,
  ECHO: 0x08,
  DUMP_INTR: 0x10,
  DUMP_FILTERED: 0x20,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
  DUMP: 0x300,
  NONREC: 0x100,
  BULK: 0x200,
} as const

/** One message to the kernel. `Reply` is what it answers: `undefined` when all it does is acknowledge. */
export type Request<Reply> = {
  type: number
  flags: number
  body: AnyBody
  value: unknown
  /** How to read an answer; absent when there is none but the acknowledgement. */
  reply?: (bytes: Buffer, from: number, to: number) => Reply
}

/** A question that is answered with many messages. */
export type Dump<Reply> = Request<Reply> & { dump: true }

/** A message that makes, changes or deletes something. */
export const command = <In>(
  type: number,
  flags: number,
  kind: Body<In, unknown>,
  value: In,
): Request<undefined> => ({
  type,
  flags,
  body: kind,
  value,
})

/**
 * As command, for many messages that differ in some attributes alone: all else is written once. Answers what makes one of
 * them, from the values of the attributes `open` in their order.
 */
export function stencil<T extends Table, K extends keyof T & string>(
  type: number,
  flags: number,
  kind: { set: AttributeSet<T> } & Pick<AnyBody, 'write'>,
  value: object,
  open: readonly K[],
): (...values: ValuesOf<T>[K][]) => Request<undefined> {
  const draft = new Writer(256)
  kind.write(draft, value)
  const written = draft.bytes.subarray(0, draft.at)
  const attributes = open.map(name => kind.set.table[name] as Attribute<unknown>)
  const stencilled = {
    ...kind,
    write(out: Writer, values: readonly unknown[]) {
      out.raw(written)
      for (let i = 0; i < attributes.length; i++) {
        const { id, codec } = attributes[i] as Attribute<unknown>
        writeAttribute(out, id, codec, values[i])
      }
    },
  } as unknown as AnyBody
  return (...values) => ({ type, flags, body: stencilled, value: values })
}

/** A question with one answer. `Out` is what `reply` reads, which is usually the body of the question too. */
export const query = <In, Out>(
  type: number,
  kind: Body<In, unknown>,
  value: In,
  reply: { read(bytes: Buffer, from: number, to: number): Out },
): Request<Out> => ({ type, flags: 0, body: kind, value, reply: reply.read })

/** A question with any number of answers. Attributes in `value` are filters that the kernel applies. */
export const dump = <In, Out>(
  type: number,
  kind: Body<In, unknown>,
  value: In,
  reply: { read(bytes: Buffer, from: number, to: number): Out },
): Dump<Out> => ({ type, flags: NLM_F.DUMP, body: kind, value, reply: reply.read, dump: true })

/** Bytes of struct nlmsghdr. */
export const HEADER = 16

/** Writes one whole message. The port is left to the kernel, which fills in the socket's own. */
export function writeMessage(out: Writer, request: Request<unknown>, sequence: number): void {
  const start = out.take(HEADER)
  request.body.write(out, request.value)
  out.setU32(start, out.at - start)
  out.setU16(start + 4, request.type)
  out.setU16(start + 6, request.flags | NLM_F.REQUEST)
  out.setU32(start + 8, sequence)
  out.setU32(start + 12, 0)
  out.pad()
}

/** One message as it lies in a datagram: its head, and where its body begins and ends. */
export type Received = {
  type: number
  flags: number
  sequence: number
  bytes: Buffer
  from: number
  to: number
}

/**
 * Hands over the messages of a datagram until `visit` returns true, and answers whether it did. Throws EBADMSG when
 * lengths don't fit.
 */
export function eachMessage(bytes: Buffer, length: number, visit: (message: Received) => boolean): boolean {
  for (let at = 0; at < length; ) {
    const size = at + HEADER <= length ? bytes.readUInt32LE(at) : 0
    if (size < HEADER || at + size > length)
      throw NetlinkError.malformed(`message of ${size} bytes where ${length - at} are left`)
    const type = bytes.readUInt16LE(at + 4)
    const flags = bytes.readUInt16LE(at + 6)
    const sequence = bytes.readUInt32LE(at + 8)
    if (visit({ type, flags, sequence, bytes, from: at + HEADER, to: at + size })) return true
    at += (size + 3) & ~3
  }
  return false
}
