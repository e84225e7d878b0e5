import { blob, id, list, optional, type Sum, struct, sum, text, u8, varint } from './codec.ts'
import { batchNumber, Malformed, read, write } from './message.ts'
import type { Entry } from './record.ts'

/** Bytes of an Ed25519 signature (RFC 8032). */
const signatureSize = 64

/** Room for one entry with the longest value. */
const batchLimit = 34 * 1024

const entry = struct({ network: u8, kind: u8, key: text(255), value: optional(blob(32 * 1024)) })

/**
 * What an origin signs: entries with the sequence numbers `first`, `first + 1` and so on. `network` of an entry is its place in
 * `networks`. `more` is 1 when the write goes on in the next batch. `sum` is that of all the origin's entries with a value once the
 * write is done: whoever has everything up to a batch without `more` can tell, whoever gave it to him.
 */
const body = struct({
  number: u8,
  origin: id,
  fence: varint,
  epoch: varint,
  first: varint,
  more: u8,
  sum,
  networks: list(text(128), 255),
  entries: list(entry, 4096),
})

export type Batch = {
  origin: string
  fence: number
  epoch: number
  first: number
  last: number
  more: boolean
  sum: Sum
  entries: Entry[]
  /** As signed, signature included: what is passed on to others. */
  bytes: Buffer
}

export type Unsigned = Omit<Batch, 'last' | 'bytes'>

/** Kept apart from any other use of the same key. */
const context = Buffer.from('tsnet vxlan-fdb batch\0')

const signed = (bytes: Buffer) => Buffer.concat([context, bytes.subarray(0, -signatureSize)])

/** An empty write takes a number too, so that each batch has its own. */
const lastOf = (first: number, count: number) => first + Math.max(count, 1) - 1

export function makeBatch(batch: Unsigned, sign: (bytes: Buffer) => Buffer): Batch {
  const networks = [...new Set(batch.entries.map(({ network }) => network))]
  const places = new Map(networks.map((network, at) => [network, at]))
  const entries = batch.entries.map(one => ({
    ...one,
    network: places.get(one.network) ?? 0,
    value: one.value,
  }))
  const content = write(body, {
    ...batch,
    number: batchNumber,
    more: batch.more ? 1 : 0,
    networks,
    entries,
  })
  const bytes = Buffer.concat([content, sign(Buffer.concat([context, content]))])
  return { ...batch, last: lastOf(batch.first, entries.length), bytes }
}

/** Reads a batch and doesn't look at its signature: whoever has it already saves that. */
export function readBatch(bytes: Buffer): Batch | Malformed {
  if (bytes.length < signatureSize || bytes.length > batchLimit)
    return new Malformed(`batch of ${bytes.length} bytes`)
  const found = read(body, bytes.subarray(0, -signatureSize))
  if (found instanceof Malformed) return found
  const { origin, fence, epoch, first, more, sum, networks } = found
  const last = lastOf(first, found.entries.length)
  if (first < 1 || epoch < 1 || last > Number.MAX_SAFE_INTEGER - 1 || more > 1)
    return new Malformed('version out of range')
  if (found.entries.some(({ network }) => network >= networks.length))
    return new Malformed('entry of no network')
  const entries = found.entries.map(one => ({ ...one, network: networks[one.network] ?? '' }))
  return { origin, fence, epoch, first, last, more: more === 1, sum, entries, bytes }
}

export function isSigned({ bytes }: Batch, verify: (signed: Buffer, signature: Buffer) => boolean): boolean {
  return verify(signed(bytes), bytes.subarray(-signatureSize))
}

/** Bytes that an entry takes in a batch, its network's name included: never too few. */
export function weight({ network, key, value }: Entry): number {
  return 12 + Buffer.byteLength(network) + Buffer.byteLength(key) + (value?.length ?? 0)
}

/** Bytes of a batch without entries, its signature included: never too few. */
export const frame = 1 + 16 + 8 * 3 + 1 + 8 + 4 + signatureSize
