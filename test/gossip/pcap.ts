import { readFileSync } from 'node:fs'

export type Captured = { from: string; to: string; bytes: Buffer }
type Frame = Captured & { protocol: number; transport: Buffer }

const udp = 17
const tcp = 6
const dotted = (bytes: Buffer): string => bytes.join('.')

/** The payloads of a little-endian pcap file of Ethernet frames: each datagram, and each direction of each stream. */
export function readCapture(path: string): { datagrams: Captured[]; streams: Captured[] } {
  const frames = [...records(readFileSync(path))].map(frame).filter(found => found !== undefined)
  const datagrams = frames
    .filter(({ protocol }) => protocol === udp)
    .map(({ transport, ...rest }) => ({ ...rest, bytes: transport.subarray(8) }))
  return { datagrams, streams: joined(frames.filter(({ protocol }) => protocol === tcp)) }
}

function* records(file: Buffer): Generator<Buffer> {
  for (let at = 24; at < file.length; ) {
    const size = file.readUInt32LE(at + 8)
    yield file.subarray(at + 16, at + 16 + size)
    at += 16 + size
  }
}

function frame(ethernet: Buffer): Frame | undefined {
  if (ethernet.readUInt16BE(12) !== 0x0800) return undefined
  const ip = ethernet.subarray(14, 14 + ethernet.readUInt16BE(16))
  const transport = ip.subarray(((ip[0] as number) & 15) * 4)
  return {
    protocol: ip[9] as number,
    from: `${dotted(ip.subarray(12, 16))}:${transport.readUInt16BE(0)}`,
    to: `${dotted(ip.subarray(16, 20))}:${transport.readUInt16BE(2)}`,
    transport,
    bytes: transport,
  }
}

/** Segments in the order of their sequence numbers, repeated ones once. */
function joined(segments: Frame[]): Captured[] {
  const streams = new Map<string, { from: string; to: string; parts: Map<number, Buffer> }>()
  for (const { from, to, transport } of segments) {
    const payload = transport.subarray(((transport[12] as number) >> 4) * 4)
    const name = `${from} ${to}`
    const stream = streams.get(name) ?? { from, to, parts: new Map() }
    streams.set(name, stream)
    if (payload.length) stream.parts.set(transport.readUInt32BE(4), payload)
  }
  return [...streams.values()].map(({ from, to, parts }) => ({
    from,
    to,
    bytes: Buffer.concat([...parts].sort(([a], [b]) => a - b).map(([, bytes]) => bytes)),
  }))
}
