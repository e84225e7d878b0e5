import { nonceSize, seal, sealedSize, unseal } from './envelope.ts'
import { encode } from './kinds.ts'
import { labelHeader, stripLabel } from './label.ts'
import { attempt, Malformed, Truncated } from './malformed.ts'
import {
  encodeMessage,
  layer,
  type MessageOf,
  type NodeState,
  pushPullHeader,
  pushPullNode,
  readMessage,
  type UserMessage,
  userHeader,
} from './messages.ts'
import { Reader } from './msgpack.ts'
import { deflate, inflate, type Wrapping } from './packet.ts'

export type PushPull = { type: 'pushPull'; join: boolean; nodes: NodeState[]; userState: Buffer }
export type StreamMessage = PushPull | UserMessage | MessageOf<'ping'> | MessageOf<'ack'> | MessageOf<'err'>

/** Most bytes of a message on a stream, as memberlist has it since 0.6. */
export const largestStream = 20 << 20
const largestInflated = 40 << 20
const mostNodes = 1 << 20

/** Who speaks: only the side that opened the stream sends the label, both authenticate it. */
export type Side = 'dialler' | 'acceptor'

/** The bytes of the one message that this side of a stream sends. `random` gives random bytes, for the nonce. */
export function sealStream(
  message: StreamMessage,
  side: Side,
  wrapping: Wrapping,
  random: (size: number) => Buffer,
): Buffer {
  const { keyring, label } = wrapping
  const plain = encodeStream(message)
  const small = wrapping.compress ? deflate(plain) : plain
  const head = side === 'dialler' ? labelHeader(label) : Buffer.alloc(0)
  const key = keyring.primary
  if (!key) return Buffer.concat([head, small])
  const length = lengthHeader(sealedSize(small.length))
  return Buffer.concat([head, length, seal(small, key, random(nonceSize), aad(length, label))])
}

function lengthHeader(length: number): Buffer {
  const head = Buffer.alloc(5)
  head[0] = layer.encrypt
  head.writeUInt32BE(length, 1)
  return head
}

const aad = (length: Buffer, label: string): Buffer => Buffer.concat([length, Buffer.from(label)])

export function encodeStream(message: StreamMessage): Buffer {
  if (message.type === 'pushPull') return encodePushPull(message)
  if (message.type !== 'user') return encodeMessage(message)
  const head = encode(userHeader, { UserMsgLen: message.payload.length })
  return Buffer.concat([Buffer.of(layer.user), head, message.payload])
}

function encodePushPull({ nodes, userState, join }: PushPull): Buffer {
  const head = encode(pushPullHeader, { Nodes: nodes.length, UserStateLen: userState.length, Join: join })
  return Buffer.concat([
    Buffer.of(layer.pushPull),
    head,
    ...nodes.map(node => encode(pushPullNode, node)),
    userState,
  ])
}

/**
 * The message that the other `side` of a stream has sent so far: 'more' while its end has not come. Neither side closes
 * its half, so only parsing tells the end.
 */
export function openStream(
  received: Buffer,
  side: Side,
  wrapping: Wrapping,
): StreamMessage | 'more' | Malformed {
  const message = attempt(() => openWhole(received, side, wrapping))
  if (!(message instanceof Truncated)) return message
  return received.length > largestStream ? new Malformed(`more than ${largestStream} bytes`) : 'more'
}

function openWhole(received: Buffer, side: Side, wrapping: Wrapping): StreamMessage {
  const { keyring, label } = wrapping
  if (received.length === 0) throw new Truncated('nothing has come')
  const bytes = side === 'dialler' ? stripLabel(received, label) : received
  if (!keyring.primary) return parse(new Reader(bytes), 0)
  const plain = unsealStream(bytes, wrapping)
  return settled(() => parse(new Reader(plain), 0))
}

function unsealStream(bytes: Buffer, { keyring, label }: Wrapping): Buffer {
  const reader = new Reader(bytes)
  if (reader.u8() !== layer.encrypt) throw new Malformed('a stream that is not encrypted')
  const length = reader.unsigned(4)
  if (length > largestStream) throw new Malformed(`a stream of ${length} bytes`)
  return unseal(reader.take(length), keyring.list(), aad(bytes.subarray(0, 5), label))
}

/** Reads bytes that are all there: what is missing now will not come. */
function settled<T>(read: () => T): T {
  const value = attempt(read)
  if (value instanceof Malformed) throw new Malformed(value.message)
  return value
}

function parse(from: Reader, depth: number): StreamMessage {
  const type = from.u8()
  if (type === layer.compress && depth === 0) {
    const plain = inflate(from, largestInflated)
    return settled(() => parse(new Reader(plain), 1))
  }
  if (type === layer.pushPull) return readPushPull(from)
  if (type === layer.user) return readUser(from)
  const message = readMessage(type, from)
  if (message?.type === 'ping' || message?.type === 'ack' || message?.type === 'err') return message
  throw new Malformed(`message type ${type} has no place on a stream`)
}

function readPushPull(from: Reader): PushPull {
  const { Nodes, UserStateLen, Join } = pushPullHeader.read(from)
  within(Nodes, mostNodes, 'nodes')
  within(UserStateLen, largestStream, 'bytes of user state')
  const nodes: NodeState[] = []
  while (nodes.length < Nodes) nodes.push(pushPullNode.read(from))
  return { type: 'pushPull', join: Join, nodes, userState: Buffer.from(from.take(UserStateLen)) }
}

function readUser(from: Reader): UserMessage {
  const { UserMsgLen } = userHeader.read(from)
  within(UserMsgLen, largestStream, 'bytes of user message')
  return { type: 'user', payload: Buffer.from(from.take(UserMsgLen)) }
}

function within(count: number, limit: number, what: string): void {
  if (!Number.isInteger(count) || count < 0 || count > limit) throw new Malformed(`${count} ${what}`)
}
