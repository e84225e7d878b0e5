import { crc32 } from 'node:zlib'
import { envelopeSize, nonceSize, seal, unseal } from './envelope.ts'
import type { Keyring } from './keyring.ts'
import { encode } from './kinds.ts'
import { labelHeader, stripLabel } from './label.ts'
import { compress, decompress } from './lzw.ts'
import { attempt, Malformed } from './malformed.ts'
import { compressed, decodeMessage, layer, type Message } from './messages.ts'
import { Reader } from './msgpack.ts'

/** What every packet and stream of a cluster has in common. */
export type Wrapping = {
  /** Empty: nothing is encrypted, and nothing needs to be. */
  keyring: Keyring
  label: string
  /** Compress what gets smaller by it. */
  compress: boolean
}

export type Opened = { messages: Message[]; errors: Malformed[] }

/** Layers within one another: CRC, compression and compound, once each. */
const deepest = 3
const largestPacket = 65536
/** A compound is 255 messages, and may hold compounds. */
const mostMessages = 1024
/** Below this LZW never gains on what we send, and costs as much as sending. */
const worthCompressing = 100

/** Opens a datagram. A message that is wrong takes along none of the others in the datagram. */
export function openPacket(datagram: Buffer, wrapping: Wrapping): Opened {
  const opened: Opened = { messages: [], errors: [] }
  const packet = attempt(() => unwrapPacket(datagram, wrapping))
  if (packet instanceof Malformed) opened.errors.push(packet)
  else collect(packet, 0, opened)
  return opened
}

function unwrapPacket(datagram: Buffer, { keyring, label }: Wrapping): Buffer {
  const packet = stripLabel(datagram, label)
  return keyring.primary ? unseal(packet, keyring.list(), Buffer.from(label)) : packet
}

function collect(packet: Buffer, depth: number, opened: Opened): void {
  const found = attempt(() => peel(packet, depth))
  if (found instanceof Malformed) opened.errors.push(found)
  else if (!Array.isArray(found)) opened.messages.push(found)
  else
    for (const inner of found) {
      if (opened.messages.length + opened.errors.length >= mostMessages) return
      collect(inner, depth + 1, opened)
    }
}

/** Takes one layer off; a packet without layers is its message. */
function peel(packet: Buffer, depth: number): Message | Buffer[] {
  const type = packet[0]
  const inside = layers.find(([number]) => number === type)
  if (!inside) return decodeMessage(packet)
  if (depth >= deepest) throw new Malformed('too many layers')
  return inside[1](packet.subarray(1))
}

const layers: readonly (readonly [number, (body: Buffer) => Buffer[]])[] = [
  [layer.crc, body => [checked(body)]],
  [layer.compress, body => [inflate(new Reader(body), largestPacket)]],
  [layer.compound, split],
]

function checked(body: Buffer): Buffer {
  const reader = new Reader(body)
  const sum = reader.unsigned(4)
  const packet = body.subarray(4)
  if (crc32(packet) !== sum) throw new Malformed('its CRC is wrong')
  return packet
}

function split(body: Buffer): Buffer[] {
  const reader = new Reader(body)
  const sizes = Array.from({ length: reader.u8() }, () => reader.unsigned(2))
  return sizes.map(size => reader.take(size))
}

/** Reads the body of a compress layer. Throws Malformed. */
export function inflate(from: Reader, limit: number): Buffer {
  const { Algo, Buf } = compressed.read(from)
  if (Algo !== 0) throw new Malformed(`compression ${Algo} is not known`)
  return decompress(Buf, limit)
}

/** The packet as a compress layer, or as it is where that is no smaller. */
export function deflate(packet: Buffer): Buffer {
  if (packet.length < worthCompressing) return packet
  const packed = Buffer.concat([
    Buffer.of(layer.compress),
    encode(compressed, { Algo: 0, Buf: compress(packet) }),
  ])
  return packed.length < packet.length ? packed : packet
}

/** Several encoded messages in one. */
export function compound(messages: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(2 + 2 * messages.length)
  head[0] = layer.compound
  head[1] = messages.length
  messages.forEach((message, i) => void head.writeUInt16BE(message.length, 2 + 2 * i))
  return Buffer.concat([head, ...messages])
}

/** Most messages of one compound. */
export const mostCompound = 255

/** Bytes that the layers around the messages of a datagram take at most. */
export function overhead({ keyring, label }: Wrapping): number {
  return labelHeader(label).length + (keyring.primary ? envelopeSize : 0) + crcSize
}

const crcSize = 5

/** Makes a datagram of encoded messages. `random` gives that many random bytes, for the nonce. */
export function sealPacket(
  messages: readonly Buffer[],
  crc: boolean,
  wrapping: Wrapping,
  random: (size: number) => Buffer,
): Buffer {
  const { keyring, label } = wrapping
  const whole = messages.length === 1 ? (messages[0] as Buffer) : compound(messages)
  const small = wrapping.compress ? deflate(whole) : whole
  const packet = crc ? withCrc(small) : small
  const key = keyring.primary
  return Buffer.concat([
    labelHeader(label),
    key ? seal(packet, key, random(nonceSize), Buffer.from(label)) : packet,
  ])
}

function withCrc(packet: Buffer): Buffer {
  const head = Buffer.alloc(crcSize)
  head[0] = layer.crc
  head.writeUInt32BE(crc32(packet), 1)
  return Buffer.concat([head, packet])
}
