import { isIPv6 } from 'node:net'
import { ETH_P, ethernet } from '@tsnet/netlink'
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
const NOWHERE = Buffer.alloc(16)

const { checksum, header, HEADER, ipBytes, macBytes, macText } = ethernet

function arp(mac: Buffer, sender: Buffer, target: Buffer): Buffer {
  const head = Buffer.from([0, 1, 8, 0, 6, 4, 0, REQUEST])
  return Buffer.concat([header(BROADCAST, mac, ETH_P.ARP), head, mac, sender, Buffer.alloc(6), target])
}

function nd(mac: Buffer, from: Buffer, to: Buffer, message: Buffer): Buffer {
  const head = Buffer.from([0x60, 0, 0, 0, 0, message.length, ICMPV6, 255])
  message.writeUInt16BE(sumOf(from, to, message), 2)
  const group = Buffer.concat([Buffer.from([0x33, 0x33]), to.subarray(12)])
  return Buffer.concat([header(group, mac, ETH_P.IPV6), head, from, to, message])
}

/** Of the pseudo header and the message (RFC 8200, section 8.1). */
const sumOf = (from: Buffer, to: Buffer, message: Buffer): number =>
  checksum(Buffer.concat([from, to, Buffer.from([0, message.length, 0, ICMPV6]), message]))

/** Asks who has an address, in nobody's name, so that no cache is changed. */
export function probeFrame(mac: string, address: string): Buffer {
  if (!isIPv6(address)) return arp(macBytes(mac), Buffer.alloc(4), ipBytes(address))
  const target = ipBytes(address)
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
  if (!isIPv6(address)) return arp(from, ipBytes(address), ipBytes(address))
  const target = ipBytes(address)
  const all = Buffer.from('ff020000000000000000000000000001', 'hex')
  const option = Buffer.concat([Buffer.from([TARGET_MAC, 1]), from])
  const message = [Buffer.from([ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0]), target, option]
  return nd(from, target, all, Buffer.concat(message))
}

/** Who claims one of the addresses in this frame: its owner, or another one who is asking for it as well. */
export function claimIn(frame: Buffer, addresses: readonly string[], own: string): Claim | undefined {
  const claim = frame.readUInt16BE(12) === ETH_P.ARP ? arpClaim(frame, addresses) : ndClaim(frame, addresses)
  return claim?.mac === own ? undefined : claim
}

function arpClaim(frame: Buffer, addresses: readonly string[]): Claim | undefined {
  if (frame.length < HEADER + 28) return undefined
  const at = (offset: number) => frame.subarray(HEADER + offset, HEADER + offset + 4).join('.')
  const sender = at(14)
  const address = sender === '0.0.0.0' ? at(24) : sender
  const mac = macText(frame.subarray(HEADER + 8, HEADER + 14))
  return addresses.includes(address) ? { address, mac } : undefined
}

function ndClaim(frame: Buffer, addresses: readonly string[]): Claim | undefined {
  const message = frame.subarray(HEADER + IPV6_HEADER)
  if (message.length < 24) return undefined
  const type = message[0]
  // A solicitation from an address is a question; from nowhere it is a probe like ours (RFC 4862, section 5.4.3).
  const asks = type === SOLICITATION && frame.subarray(22, 38).equals(NOWHERE)
  if (type !== ADVERTISEMENT && !asks) return undefined
  const target = message.subarray(8, 24)
  const address = addresses.find(each => isIPv6(each) && ipBytes(each).equals(target))
  return address === undefined ? undefined : { address, mac: macText(frame.subarray(6, 12)) }
}
