import {
  bool,
  bytes,
  dictionary,
  encode,
  type Fields,
  int,
  list,
  nullable,
  record,
  text,
  u32,
  u53,
  type ValueOf,
} from './kinds.ts'
import { attempt, Malformed } from './malformed.ts'
import { Reader } from './msgpack.ts'

const message = <N extends number, F extends Fields>(number: N, fields: F) => ({
  number,
  body: record(fields),
})

const event = record({ Name: text, Payload: bytes })
const events = record({ LTime: u53, Events: list(event) })

/** Serf's messages.go: the first byte of a memberlist user message, then the body. LTime is a Lamport time. */
const tables = {
  leave: message(0, { LTime: u53, Node: text, Prune: bool }),
  join: message(1, { LTime: u53, Node: text }),
  pushPull: message(2, {
    LTime: u53,
    StatusLTimes: dictionary(u53),
    LeftMembers: list(text),
    EventLTime: u53,
    Events: list(nullable(events)),
    QueryLTime: u53,
  }),
  userEvent: message(3, { LTime: u53, Name: text, Payload: bytes, CC: bool }),
  query: message(4, {
    LTime: u53,
    ID: u32,
    Addr: bytes,
    Port: int,
    SourceNode: text,
    Filters: list(bytes),
    Flags: u32,
    RelayFactor: int,
    Timeout: int,
    Name: text,
    Payload: bytes,
  }),
  queryResponse: message(5, { LTime: u53, ID: u32, From: text, Flags: u32, Payload: bytes }),
  keyRequest: message(7, { Key: bytes }),
  keyResponse: message(8, { Result: bool, Message: text, Keys: list(text), PrimaryKey: text }),
}

type Tables = typeof tables
type BodyOf<T> = T extends { body: infer B } ? ValueOf<B> : never
export type SerfMessage = { [T in keyof Tables]: { type: T } & BodyOf<Tables[T]> }[keyof Tables]
export type SerfMessageOf<T extends SerfMessage['type']> = Extract<SerfMessage, { type: T }>

const byNumber = new Map(
  Object.entries(tables).map(([type, { number, body }]) => [number as number, { type, body }]),
)

export function encodeSerf(message: SerfMessage): Buffer {
  const { number, body } = tables[message.type]
  return Buffer.concat([
    Buffer.of(number),
    encode(body as Tables['join']['body'], message as SerfMessageOf<'join'>),
  ])
}

/** Malformed too for a type that is not known. */
export const decodeSerf = (payload: Buffer): SerfMessage | Malformed =>
  attempt(() => {
    const reader = new Reader(payload)
    const number = reader.u8()
    const table = byNumber.get(number)
    if (!table) throw new Malformed(`serf message type ${number} is not known`)
    return { type: table.type, ...table.body.read(reader) } as SerfMessage
  })

const tagsMagic = 0xff
const tagMap = dictionary(text)

/** Serf's tags as meta data of a node. */
export const encodeTags = (tags: Readonly<Record<string, string>>): Buffer =>
  Buffer.concat([Buffer.of(tagsMagic), encode(tagMap, new Map(Object.entries(tags)))])

/** Empty for meta data that is not tags. */
export function decodeTags(meta: Buffer): Record<string, string> {
  if (meta[0] !== tagsMagic) return {}
  const tags = attempt(() => tagMap.read(new Reader(meta, 1)))
  return tags instanceof Malformed ? {} : Object.fromEntries(tags)
}
