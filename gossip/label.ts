import { Malformed } from './malformed.ts'
import { layer } from './messages.ts'
import { Reader } from './msgpack.ts'

/** Most bytes of a label. */
export const longestLabel = 255

/** Bytes that stand before every packet, and once before a stream that we open. Throws RangeError. */
export function labelHeader(label: string): Buffer {
  const bytes = Buffer.from(label)
  if (bytes.length > longestLabel)
    throw new RangeError(`a label has ${longestLabel} bytes at most, not ${bytes.length}`)
  return bytes.length ? Buffer.concat([Buffer.of(layer.label, bytes.length), bytes]) : bytes
}

/** Takes the label off and returns the rest. Throws Malformed if it is another cluster's, Truncated if it isn't whole. */
export function stripLabel(bytes: Buffer, label: string): Buffer {
  const reader = new Reader(bytes)
  const labelled = bytes[0] === layer.label
  if (labelled) reader.u8()
  const found = labelled ? reader.take(reader.u8()) : Buffer.alloc(0)
  if (!found.equals(Buffer.from(label))) throw new Malformed(`label '${found}' where '${label}' was expected`)
  return bytes.subarray(reader.at)
}
