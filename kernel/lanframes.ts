import { isIPv6 } from 'node:net'
import type { Claim } from '../core/faces.ts'

/** Frames by which hosts of a LAN tell each other who has an address: ARP (RFC 826, 5227) and ND (RFC 4861, 4862). Pure. */

const BROADCAST = Buffer.alloc(6, 0xff)
const REQUEST = 1
const ICMPV6 = 58
const SOLICITATION = 135
const ADVERTISEMENT = 136
/** Option types of ND: the sender's and the target's link-layer address. */
const TARGET_MAC = 2
/** "Forget what you knew": flag O of an advertisement. */
const OVERRIDE = 0x20
const IPV6_HEADER = 40
const ETHERNET = 14
const NOWHERE = Buffer.alloc(16)

const macBytes = (mac: string) => Buffer.from(mac.replaceAll(':', ''), 'hex')
const macText = (bytes: Buffer) => bytes.toString('hex').replace(/(..)(?!$)/g, '$1:')
const ipv4Bytes = (address: string) => Buffer.from(address.split('.').map(Number))

/** The 16 bytes of an IPv6 address, of which `URL` writes every form in one way. */
export function ipv6Bytes(address: string): Buffer {
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const groups = (text = '') => text.split(':').filter(Boolean)
  const zeros = 8 - groups(head).length - groups(tail).length
  const all = [...groups(head), ...Array(tail === undefined ? 0 : zeros).fill('0'), ...groups(tail)]
  return Buffer.from(all.map(group => group.padStart(4, '0')).join(''), 'hex')
}

const ethernet = (to: Buffer, from: Buffer, type: number) =>
  Buffer.concat([to, from, Buffer.from([type >> 8, type & 255])])

function arp(mac: Buffer, sender: Buffer, target: Buffer): Buffer {
  const head = Buffer.from([0, 1, 8, 0, 6, 4, 0, REQUEST])
  return Buffer.concat([ethernet(BROADCAST, mac, 0x0806), head, mac, sender, Buffer.alloc(6), target])
}

function nd(mac: Buffer, from: Buffer, to: Buffer, message: Buffer): Buffer {
  const head = Buffer.from([0x60, 0, 0, 0, 0, message.length, ICMPV6, 255])
  message.writeUInt16BE(checksum(from, to, message), 2)
  const group = Buffer.concat([Buffer.from([0x33, 0x33]), to.subarray(12)])
  return Buffer.concat([ethernet(group, mac, 0x86dd), head, from, to, message])
}

/** Of the pseudo header and the message (RFC 8200, section 8.1). */
function checksum(from: Buffer, to: Buffer, message: Buffer): number {
  const all = Buffer.concat([from, to, Buffer.from([0, message.length, 0, ICMPV6]), message])
  let sum = 0
  for (let at = 0; at < all.length; at += 2) sum += all.readUInt16BE(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16)
  return ~sum & 0xffff
}

/** Asks who has an address, in nobody's name, so that no cache is changed. */
export function probeFrame(mac: string, address: string): Buffer {
  if (!isIPv6(address)) return arp(macBytes(mac), Buffer.alloc(4), ipv4Bytes(address))
  const target = ipv6Bytes(address)
  const group = Buffer.concat([Buffer.from('ff0200000000000000000001ff', 'hex'), target.subarray(13)])
  return nd(
    macBytes(mac),
    NOWHERE,
    group,
    Buffer.concat([Buffer.from([SOLICITATION, 0, 0, 0, 0, 0, 0, 0]), target]),
  )
}

/** Tells all that an address is at a MAC: a request for one's own address, or an advertisement that nobody asked for. */
export function announcementFrame(mac: string, address: string): Buffer {
  const from = macBytes(mac)
  if (!isIPv6(address)) return arp(from, ipv4Bytes(address), ipv4Bytes(address))
  const target = ipv6Bytes(address)
  const all = Buffer.from('ff020000000000000000000000000001', 'hex')
  const option = Buffer.concat([Buffer.from([TARGET_MAC, 1]), from])
  const message = [Buffer.from([ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0]), target, option]
  return nd(from, target, all, Buffer.concat(message))
}

/** Who claims one of the addresses in this frame: its owner, or another one who is asking for it as well. */
export function claimIn(frame: Buffer, addresses: readonly string[], own: string): Claim | undefined {
  const claim = frame.readUInt16BE(12) === 0x0806 ? arpClaim(frame, addresses) : ndClaim(frame, addresses)
  return claim?.mac === own ? undefined : claim
}

function arpClaim(frame: Buffer, addresses: readonly string[]): Claim | undefined {
  if (frame.length < ETHERNET + 28) return undefined
  const at = (offset: number) => frame.subarray(ETHERNET + offset, ETHERNET + offset + 4).join('.')
  const sender = at(14)
  const address = sender === '0.0.0.0' ? at(24) : sender
  const mac = macText(frame.subarray(ETHERNET + 8, ETHERNET + 14))
  return addresses.includes(address) ? { address, mac } : undefined
}

function ndClaim(frame: Buffer, addresses: readonly string[]): Claim | undefined {
  const message = frame.subarray(ETHERNET + IPV6_HEADER)
  if (message.length < 24) return undefined
  const type = message[0]
  // A solicitation from an address is a question; from nowhere it is a probe like ours (RFC 4862, section 5.4.3).
  const asks = type === SOLICITATION && frame.subarray(22, 38).equals(NOWHERE)
  if (type !== ADVERTISEMENT && !asks) return undefined
  const target = message.subarray(8, 24)
  const address = addresses.find(each => isIPv6(each) && ipv6Bytes(each).equals(target))
  return address === undefined ? undefined : { address, mac: macText(frame.subarray(6, 12)) }
}
