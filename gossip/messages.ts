import {
  bool,
  bytes,
  encode,
  type Fields,
  int,
  optional,
  record,
  text,
  u16,
  u32,
  type ValueOf,
} from './kinds.ts'
import { Malformed } from './malformed.ts'
import { Reader } from './msgpack.ts'

const source = { SourceAddr: optional(bytes), SourcePort: optional(u16), SourceNode: optional(text) }

const message = <N extends number, F extends Fields>(number: N, fields: F) => ({
  number,
  body: record(fields),
})

/** Numbers, names and fields are those of memberlist's net.go; a port of 16 bits, counters of 32. */
const tables = {
  ping: message(0, { SeqNo: u32, Node: text, ...source }),
  indirectPing: message(1, { SeqNo: u32, Target: bytes, Port: u16, Node: text, Nack: bool, ...source }),
  ack: message(2, { SeqNo: u32, Payload: bytes }),
  suspect: message(3, { Incarnation: u32, Node: text, From: text }),
  alive: message(4, { Incarnation: u32, Node: text, Addr: bytes, Port: u16, Meta: bytes, Vsn: bytes }),
  dead: message(5, { Incarnation: u32, Node: text, From: text }),
  nack: message(11, { SeqNo: u32 }),
  err: message(13, { Error: text }),
}

/** Layers around messages, and messages that are not one msgpack value. */
export const layer = {
  pushPull: 6,
  compound: 7,
  user: 8,
  compress: 9,
  encrypt: 10,
  crc: 12,
  label: 244,
} as const

type Tables = typeof tables
type BodyOf<T> = T extends { body: infer B } ? ValueOf<B> : never
export type TabledMessage = { [T in keyof Tables]: { type: T } & BodyOf<Tables[T]> }[keyof Tables]
export type UserMessage = { type: 'user'; payload: Buffer }
export type Message = TabledMessage | UserMessage
export type MessageOf<T extends Message['type']> = Extract<Message, { type: T }>

const byNumber = new Map(
  Object.entries(tables).map(([type, table]) => [table.number as number, { type, body: table.body }]),
)

/** Bodies of layers and streams. */
export const compressed = record({ Algo: u32, Buf: bytes })
export const pushPullHeader = record({ Nodes: int, UserStateLen: int, Join: bool })
export const pushPullNode = record({
  Name: text,
  Addr: bytes,
  Port: u16,
  Meta: bytes,
  Incarnation: u32,
  State: int,
  Vsn: bytes,
})
export const userHeader = record({ UserMsgLen: int })

export type NodeState = ValueOf<typeof pushPullNode>

/** As in a datagram: the type's number, then the body. */
export function encodeMessage(value: Message): Buffer {
  if (value.type === 'user') return Buffer.concat([Buffer.of(layer.user), value.payload])
  const { number, body } = tables[value.type]
  return Buffer.concat([
    Buffer.of(number),
    encode(body as typeof tables.ping.body, value as MessageOf<'ping'>),
  ])
}

/** Reads the body of the message type `number`; undefined if there is no such type. Throws Malformed. */
export function readMessage(number: number, from: Reader): TabledMessage | undefined {
  const table = byNumber.get(number)
  return table && ({ type: table.type, ...table.body.read(from) } as TabledMessage)
}

/** One message of a datagram, without layers. Throws Malformed. */
export function decodeMessage(from: Buffer): Message {
  const reader = new Reader(from)
  const number = reader.u8()
  if (number === layer.user) return { type: 'user', payload: Buffer.from(from.subarray(1)) }
  const message = readMessage(number, reader)
  if (!message) throw new Malformed(`message type ${number} is not known`)
  return message
}
