import { ip, mac } from './address.ts'
import type { Codec } from './codec.ts'
import { Writer } from './writer.ts'

/** What frames that are made and read by hand have in common: addresses and sums as they are on the wire, in network order. */

/** Bytes before what an untagged frame carries (IEEE 802.3). */
export const HEADER = 14

/** Throws NetlinkError for what is no MAC. */
export const macBytes = (text: string): Buffer => bytesOf(mac, text)
export const macText = (bytes: Buffer): string => mac.read(bytes, 0, bytes.length)

/** 4 or 16 bytes. Throws NetlinkError for what is no address. */
export const ipBytes = (text: string): Buffer => bytesOf(ip, text)

function bytesOf(codec: Codec<string>, text: string): Buffer {
  const out = new Writer(32)
  codec.write(out, text)
  return out.bytes.subarray(0, out.at)
}

export const header = (to: Buffer, from: Buffer, type: number): Buffer =>
  Buffer.concat([to, from, Buffer.from([type >> 8, type & 255])])

/** RFC 1071; the place of the sum itself holds 0 meanwhile. */
export function checksum(bytes: Buffer): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2)
    sum += at + 1 < bytes.length ? bytes.readUInt16BE(at) : (bytes[at] as number) << 8
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16)
  return ~sum & 0xffff
}
