import type { AttributeSet, Table, ValuesOf } from './attributes.ts'
import type { Codec, ValueOf } from './codec.ts'
import { NetlinkError } from './error.ts'
import type { Writer } from './writer.ts'

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

/** Declares a body. Header fields that a value leaves out are zero; its attributes go in the order of its keys. */
export function body<F extends Fields, T extends Table>(
  header: F,
  set: AttributeSet<T>,
): Body<Partial<HeaderOf<F>> & ValuesOf<T>, HeaderOf<F> & ValuesOf<T>> {
  const names = Object.keys(header)
  const codecs = Object.values(header)
  const sizes = codecs.map(codec => codec.size as number)
  const size = sizes.reduce((sum, each) => sum + each, 0)
  return {
    size,
    set: set as unknown as AttributeSet<Table>,
    write(out, value) {
      const known = value as Record<string, number | undefined>
      for (let i = 0; i < names.length; i++) codecs[i]?.write(out, known[names[i] as string] ?? 0)
      out.pad()
      set.write(out, value, header)
    },
    read(bytes, from, to) {
      const start = from + ((size + 3) & ~3)
      if (from + size > to)
        throw NetlinkError.malformed(`message of ${to - from} bytes where ${size} were expected`)
      const values = start < to ? set.read(bytes, start, to) : {}
      let at = from
      for (let i = 0; i < names.length; at += sizes[i++] as number) {
        const name = names[i] as string
        if (!name.startsWith('_'))
          (values as Record<string, number>)[name] = codecs[i]?.read(
            bytes,
            at,
            at + (sizes[i] as number),
          ) as number
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

/** Splits a datagram. Throws EBADMSG when lengths don't fit. */
export function* messages(bytes: Buffer, length: number): Generator<Received> {
  let at = 0
  while (at < length) {
    const size = at + HEADER <= length ? bytes.readUInt32LE(at) : 0
    if (size < HEADER || at + size > length)
      throw NetlinkError.malformed(`message of ${size} bytes where ${length - at} are left`)
    yield {
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      sequence: bytes.readUInt32LE(at + 8),
      bytes,
      from: at + HEADER,
      to: at + size,
    }
    at += (size + 3) & ~3
  }
}
