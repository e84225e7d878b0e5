import { ethernet } from '@tsnet/netlink'

/** DHCP in UDP in IPv4 in Ethernet, for a client that has no address to send from yet. */

export const BROADCAST = { mac: 'ff:ff:ff:ff:ff:ff', address: '255.255.255.255' } as const

const SERVER_PORT = 67
const CLIENT_PORT = 68
const UDP = 17
const IP = 20
/** ETH_P_IP */
const IPV4 = 0x0800
const TTL = 64
/** "Don't fragment". */
const DF = 0x4000
/** More fragments follow, or this isn't the first. */
const FRAGMENT = 0x3fff

export type Place = { mac: string; address: string }

const { checksum, header, HEADER, ipBytes, macBytes, macText } = ethernet

export function wrap(from: Place, to: Place, payload: Buffer): Buffer {
  const frame = Buffer.alloc(HEADER + IP + 8)
  header(macBytes(to.mac), macBytes(from.mac), IPV4).copy(frame)
  const ip = frame.subarray(HEADER, HEADER + IP)
  ip[0] = 0x45
  ip.writeUInt16BE(IP + 8 + payload.length, 2)
  ip.writeUInt16BE(DF, 6)
  ip.set([TTL, UDP], 8)
  ipBytes(from.address).copy(ip, 12)
  ipBytes(to.address).copy(ip, 16)
  ip.writeUInt16BE(checksum(ip), 10)
  const udp = frame.subarray(HEADER + IP)
  udp.writeUInt16BE(CLIENT_PORT, 0)
  udp.writeUInt16BE(SERVER_PORT, 2)
  udp.writeUInt16BE(8 + payload.length, 4)
  const pseudo = Buffer.concat([ip.subarray(12, 20), Buffer.from([0, UDP, 0, 0])])
  pseudo.writeUInt16BE(8 + payload.length, 10)
  // 0 would mean that there is none (RFC 768).
  udp.writeUInt16BE(checksum(Buffer.concat([pseudo, udp, payload])) || 0xffff, 6)
  return Buffer.concat([frame, payload])
}

/**
 * What is for a client, and the MAC it came from; undefined for any other frame. The checksum of UDP isn't looked at: between links of
 * one host it is left to a device that the frame never meets.
 */
export function unwrap(frame: Buffer): { payload: Buffer; via: string } | undefined {
  if (frame.length < HEADER + IP + 8 || frame.readUInt16BE(12) !== IPV4) return undefined
  const ip = frame.subarray(HEADER)
  const header = ((ip[0] ?? 0) & 15) * 4
  if ((ip[0] ?? 0) >> 4 !== 4 || header < IP || ip[9] !== UDP || ip.readUInt16BE(6) & FRAGMENT)
    return undefined
  const udp = ip.subarray(header)
  if (udp.length < 8 || udp.readUInt16BE(2) !== CLIENT_PORT) return undefined
  const length = udp.readUInt16BE(4)
  if (length < 8 || length > udp.length) return undefined
  return { payload: udp.subarray(8, length), via: macText(frame.subarray(6, 12)) }
}

/**
 * Lets through what is for a client's port, as a program of classic BPF (linux/filter.h): code, jumps when true and false, operand.
 * A socket has to hear every EtherType (ETH_P_ALL), or frames that a macvlan takes are gone before.
 */
export const filter = [
  [0x28, 0, 0, 12],
  [0x15, 0, 8, IPV4],
  [0x30, 0, 0, 23],
  [0x15, 0, 6, UDP],
  [0x28, 0, 0, 20],
  [0x45, 4, 0, 0x1fff],
  [0xb1, 0, 0, HEADER],
  [0x48, 0, 0, 16],
  [0x15, 0, 1, CLIENT_PORT],
  [0x06, 0, 0, 0xffff],
  [0x06, 0, 0, 0],
] as const
