import { Reader, Writer } from './bytes.ts'
import { blob, type Codec, id, list, struct, sum, u8, type ValueOf, varint } from './codec.ts'

/** A message that breaks its format: that one is dropped, nothing else happens. */
export class Malformed {
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

/** What fits into a datagram or a gossiped user message when memberlist encrypts it. */
export const datagramLimit = 1344
/** Largest message of a stream. */
export const streamLimit = 64 * 1024

export const bucketCount = 64

const range: Codec<readonly [number, number]> = {
  write(out, [from, to]) {
    out.varint(from)
    out.varint(to)
  },
  read: from => [from.varint(), from.varint()],
}

const batchBytes = blob(streamLimit)

/** How far somebody's records of one origin go without a gap. */
const mark = struct({ origin: id, fence: varint, epoch: varint, upto: varint })
export type Mark = ValueOf<typeof mark>

const want = struct({ origin: id, epoch: varint, gaps: list(range, 64) })
export type Want = ValueOf<typeof want>

/**
 * Every message but a batch, whose bytes are kept as its writer signed them (batch.ts). The first byte of a message is the number
 * before it.
 */
const table = {
  /** A batch for those members of its networks whose id lies in [from, to), by a member that is asked to pass it on. */
  relay: { number: 2, body: struct({ from: id, to: id, batch: batchBytes }) },
  /** The whole table in 8 bytes. `ask` is 1 when an answer is wanted. */
  digest: { number: 3, body: struct({ ask: u8, root: sum }) },
  /** The table in 64 parts, by the first bits of the origins. */
  buckets: { number: 4, body: struct({ sums: list(sum, bucketCount) }) },
  /** Marks of the origins in some buckets. `ask` is 1 when the receiver's are wanted in return. */
  vector: { number: 5, body: struct({ ask: u8, buckets: list(u8, bucketCount), marks: list(mark, 4096) }) },
  pull: { number: 6, body: struct({ wants: list(want, 1024) }) },
  /**
   * Batches of one origin, and the claim that they are all that still matters within `ranges`. `more` is 1 when the answer goes on
   * in another message, 2 when it must be asked for again.
   */
  delta: {
    number: 7,
    body: struct({
      origin: id,
      key: blob(32),
      epoch: varint,
      more: u8,
      ranges: list(range, 1024),
      batches: list(batchBytes, 4096),
    }),
  },
} as const

type Table = typeof table
type Name = keyof Table
export type Body<N extends Name> = ValueOf<Table[N]['body']>
export type Message = { [N in Name]: { type: N } & Body<N> }[Name] | { type: 'batch'; bytes: Buffer }

const byNumber = new Map(Object.entries(table).map(([name, { number }]) => [number as number, name as Name]))

export function encode<N extends Name>(type: N, body: Body<N>): Buffer {
  const out = new Writer()
  out.u8(table[type].number)
  const codec = table[type].body as Codec<Body<N>>
  codec.write(out, body)
  return out.done()
}

/** Reads one whole message. A batch is only told apart here; `readBatch` reads it. */
export function decode(bytes: Buffer): Message | Malformed {
  if (bytes[0] === batchNumber) return { type: 'batch', bytes }
  const name = byNumber.get(bytes[0] ?? 0)
  if (!name) return new Malformed(`unknown message ${bytes[0] ?? 'of no bytes'}`)
  const body = read(table[name].body as Codec<object>, bytes.subarray(1))
  return body instanceof Malformed ? body : ({ type: name, ...body } as Message)
}

/** One value that fills all the bytes. */
export function read<T>(codec: Codec<T>, bytes: Buffer): T | Malformed {
  const from = new Reader(bytes)
  const value = codec.read(from)
  if (from.left > 0) from.fail(`${from.left} bytes too many`)
  return from.error === undefined ? value : new Malformed(from.error)
}

export function write<T>(codec: Codec<T>, value: T): Buffer {
  const out = new Writer()
  codec.write(out, value)
  return out.done()
}

/** First byte of a signed batch. */
export const batchNumber = 1
