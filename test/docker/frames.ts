import { type ChildProcess, spawn } from 'node:child_process'
import { until } from '../bed/until.ts'
import type { Place } from './probes.ts'

/** Packets that no decent network stack would send, and somebody who listens for them. */

export type Ends = { mac: string; ip: string; port: number }

const UDP = 17
const SCTP = 132

const octets = (mac: string) => mac.split(':').map(text => Number.parseInt(text, 16))
const word = (value: number) => [value >> 8, value & 255]

/** An Ethernet frame with a UDP datagram; its checksum is left out, as IPv4 allows. */
export function datagram(from: Ends, to: Ends, text: string): Buffer {
  const payload = Buffer.from(`${text}\n`)
  const udp = Buffer.from([...word(from.port), ...word(to.port), ...word(8 + payload.length), 0, 0])
  return frame(from, to, UDP, Buffer.concat([udp, payload]))
}

/** An Ethernet frame with an SCTP INIT (RFC 9260, 3.3.2), which opens an association. */
export function sctpInit(from: Ends, to: Ends): Buffer {
  const tag = 0x1234567
  const init = Buffer.alloc(32)
  init.writeUInt16BE(from.port, 0)
  init.writeUInt16BE(to.port, 2)
  init.writeUInt8(1, 12)
  init.writeUInt16BE(20, 14)
  init.writeUInt32BE(tag, 16)
  init.writeUInt32BE(65536, 20)
  init.writeUInt16BE(1, 24)
  init.writeUInt16BE(1, 26)
  init.writeUInt32LE(crc32c(init), 8)
  return frame(from, to, SCTP, init)
}

function frame(from: Ends, to: Ends, protocol: number, payload: Buffer): Buffer {
  const length = word(20 + payload.length)
  const address = (ip: string) => ip.split('.').map(Number)
  const header = Buffer.from([
    ...[0x45, 0, ...length, 0, 0, 0x40, 0, 64, protocol, 0, 0],
    ...[...address(from.ip), ...address(to.ip)],
  ])
  header.writeUInt16BE(checksum(header), 10)
  const ethernet = Buffer.from([...octets(to.mac), ...octets(from.mac), 0x08, 0x00])
  return Buffer.concat([ethernet, header, payload])
}

/** RFC 1071. */
function checksum(header: Buffer): number {
  let sum = 0
  for (let at = 0; at < header.length; at += 2) sum += header.readUInt16BE(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16)
  return ~sum & 0xffff
}

/** RFC 9260, appendix A: Castagnoli's polynomial, reflected. */
function crc32c(bytes: Buffer): number {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return ~crc >>> 0
}

/** Puts a frame on the link of a place. */
export async function send(from: Place, bytes: Buffer, link = 'eth0'): Promise<void> {
  const { code, stderr } = await from.attempt(['socat', '-u', '-', `INTERFACE:${link}`], { input: bytes })
  if (code !== 0) throw new Error(stderr)
}

/** Takes down what comes in at a UDP port, or for an IP protocol, from whomever. */
export class Ear {
  readonly #child: ChildProcess
  #heard = Buffer.alloc(0)

  /** `what` is `udp 53` or `ip 132`. */
  constructor(place: Place, what: `udp ${number}` | `ip ${number}`) {
    const [kind, number] = what.split(' ')
    // An address to send to has to be named and is never used.
    const address =
      kind === 'udp' ? `UDP4-DATAGRAM:192.0.2.1:9,bind=:${number}` : `IP4-DATAGRAM:192.0.2.1:${number}`
    const [command = '', ...args] = place.enter('socat', '-t0.01', '-', address)
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] })
    this.#child.stdout?.on('data', bytes => {
      this.#heard = Buffer.concat([this.#heard, bytes])
    })
  }

  get heard(): Buffer {
    return this.#heard
  }

  /** Repeats something until the sign of it is heard. */
  async hears(sign: string | Buffer, work: () => Promise<void>): Promise<void> {
    const heard = async () => {
      await work()
      return this.#heard.includes(sign)
    }
    await until(`${String(sign)} to be heard`, heard, { every: 50 })
  }

  /** Its input's end ends it. */
  async close(): Promise<void> {
    this.#child.stdin?.end()
    await until('the ear to close', () => this.#child.exitCode !== null)
  }
}
