import { ethernet } from '@tsnet/netlink'

/** Messages of DHCP, RFC 2131 and the options of RFC 2132 that a client needs. */

export type Kind = 'DISCOVER' | 'OFFER' | 'REQUEST' | 'DECLINE' | 'ACK' | 'NAK' | 'RELEASE' | 'INFORM'

/** Addresses are dotted quads; times in seconds, 0xffffffff for ever. */
export type Message = {
  kind: Kind
  /** Tells the answers to one transaction from all others. */
  xid: number
  /** Seconds since the client began. */
  secs: number
  /** Asks that answers be broadcast, for the client has no address yet. */
  broadcast: boolean
  /** The client's address, if it has one that it may use. */
  ciaddr?: string
  /** The address that it is given. */
  yiaddr?: string
  mac: string
  requested?: string
  server?: string
  hostname?: string
  mask?: string
  router?: string
  lease?: number
  renewal?: number
  rebinding?: number
  /** The server's own words, in a NAK. */
  words?: string
}

/** In the order of their numbers, from 1. */
const kinds: readonly Kind[] = ['DISCOVER', 'OFFER', 'REQUEST', 'DECLINE', 'ACK', 'NAK', 'RELEASE', 'INFORM']

const option = {
  mask: 1,
  router: 3,
  hostname: 12,
  requested: 50,
  lease: 51,
  overload: 52,
  kind: 53,
  server: 54,
  wants: 55,
  words: 56,
  renewal: 58,
  rebinding: 59,
  client: 61,
} as const

const ETHERNET = 1
const FIXED = 236
const COOKIE = 0x63825363
/** Bytes. Relays of BOOTP drop what is shorter (RFC 1542, section 2.1). */
const SHORTEST = 300
/** Where the fields lie that options may go on in. */
const SNAME = [44, 108] as const
const FILE = [108, 236] as const

const { ipBytes, macBytes, macText } = ethernet

const text = (bytes: Uint8Array) => bytes.join('.')

/** What a client sends. The client is known to the server by its MAC, as one that sends no identifier is (RFC 2132, section 9.14). */
export function encode(message: Message): Buffer {
  const fixed = Buffer.alloc(FIXED + 4)
  fixed.set([1, ETHERNET, 6, 0])
  fixed.writeUInt32BE(message.xid, 4)
  fixed.writeUInt16BE(Math.min(message.secs, 0xffff), 8)
  fixed.writeUInt16BE(message.broadcast ? 0x8000 : 0, 10)
  if (message.ciaddr) ipBytes(message.ciaddr).copy(fixed, 12)
  macBytes(message.mac).copy(fixed, 28)
  fixed.writeUInt32BE(COOKIE, FIXED)
  const all = Buffer.concat([fixed, ...options(message), Buffer.from([255])])
  return Buffer.concat([all, Buffer.alloc(Math.max(0, SHORTEST - all.length))])
}

function options({ kind, mac, requested, server, hostname }: Message): Buffer[] {
  const wants = [option.mask, option.router, option.lease, option.renewal, option.rebinding]
  const isQuestion = kind === 'DISCOVER' || kind === 'REQUEST'
  return [
    tagged(option.kind, Buffer.from([kinds.indexOf(kind) + 1])),
    tagged(option.client, Buffer.concat([Buffer.from([ETHERNET]), macBytes(mac)])),
    ...(requested ? [tagged(option.requested, ipBytes(requested))] : []),
    ...(server ? [tagged(option.server, ipBytes(server))] : []),
    ...(hostname && isQuestion ? [tagged(option.hostname, Buffer.from(hostname).subarray(0, 255))] : []),
    ...(isQuestion ? [tagged(option.wants, Buffer.from(wants))] : []),
  ]
}

const tagged = (code: number, value: Buffer) => Buffer.concat([Buffer.from([code, value.length]), value])

/** What a server answered; undefined for anything that is none, or is for another kind of link. */
export function decode(bytes: Buffer): Message | undefined {
  if (bytes.length < FIXED + 4 || bytes[0] !== 2 || bytes[1] !== ETHERNET || bytes[2] !== 6) return undefined
  if (bytes.readUInt32BE(FIXED) !== COOKIE) return undefined
  const found = optionsOf(bytes)
  const kind = kinds[(found.get(option.kind)?.[0] ?? 0) - 1]
  if (!kind) return undefined
  const address = (code: number) => optional(found.get(code), 4, value => text(value.subarray(0, 4)))
  const seconds = (code: number) => optional(found.get(code), 4, value => value.readUInt32BE())
  const words = (code: number) => optional(found.get(code), 1, value => value.toString())
  const fields = {
    yiaddr: text(bytes.subarray(16, 20)),
    mask: address(option.mask),
    router: address(option.router),
    server: address(option.server),
    lease: seconds(option.lease),
    renewal: seconds(option.renewal),
    rebinding: seconds(option.rebinding),
    words: words(option.words),
  }
  return {
    ...{ kind, xid: bytes.readUInt32BE(4), secs: 0, broadcast: false, mac: macText(bytes.subarray(28, 34)) },
    ...(Object.fromEntries(
      Object.entries(fields).filter(([, value]) => value !== undefined),
    ) as Partial<Message>),
  }
}

function optional<T>(value: Buffer | undefined, least: number, read: (value: Buffer) => T): T | undefined {
  return value && value.length >= least ? read(value) : undefined
}

/** Options may go on in the fields for the server's name and the boot file (RFC 2132, section 9.3), and one may come in parts. */
function optionsOf(bytes: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>()
  collect(bytes.subarray(FIXED + 4), found)
  const overload = found.get(option.overload)?.[0] ?? 0
  if (overload & 1) collect(bytes.subarray(...FILE), found)
  if (overload & 2) collect(bytes.subarray(...SNAME), found)
  return found
}

function collect(bytes: Buffer, found: Map<number, Buffer>): void {
  for (let at = 0; at < bytes.length; ) {
    const code = bytes[at++]
    if (code === 255) return
    if (code === undefined || code === 0) continue
    const length = bytes[at++] ?? 0
    if (at + length > bytes.length) return
    const value = bytes.subarray(at, at + length)
    found.set(code, Buffer.concat([found.get(code) ?? Buffer.alloc(0), value]))
    at += length
  }
}
