import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { connect, isIP } from 'node:net'

/** Milliseconds that one resolver of the host has. */
const PATIENCE = 4_000
const PORT = 53

/** Resolvers of this host, as resolv.conf(5) names them. */
export function resolvers(path = '/etc/resolv.conf'): string[] {
  try {
    const found = readFileSync(path, 'utf8').matchAll(/^\s*nameserver\s+(\S+)/gm)
    return [...found].flatMap(([, address = '']) => (isIP(address.split('%')[0] ?? '') ? address : []))
  } catch {
    return []
  }
}

/** What the first resolver that answers says; undefined when none does. The question is passed on as it is, and so is the answer. */
export async function relay(
  question: Buffer,
  via: 'udp' | 'tcp',
  servers: readonly string[],
  port = PORT,
): Promise<Buffer | undefined> {
  for (const server of servers) {
    const said = await (via === 'udp' ? datagram : stream)(question, server, port)
    if (said) return said
  }
  return undefined
}

/**
 * What one server answers, or undefined: from a port of its own, connected, so that nobody else's datagram passes for the answer.
 *
 * @param fd a socket that is bound already, where the server is to be reached from; it is closed in the end.
 * @param patience milliseconds that the server has.
 */
export function datagram(
  question: Buffer,
  server: string,
  port: number,
  { fd, patience = PATIENCE }: { fd?: number; patience?: number } = {},
): Promise<Buffer | undefined> {
  const socket = createSocket(server.includes(':') ? 'udp6' : 'udp4')
  if (fd !== undefined) socket.bind({ fd })
  return new Promise(resolve => {
    const end = (said?: Buffer) => {
      clearTimeout(timer)
      socket.close()
      resolve(said)
    }
    const timer = setTimeout(end, patience)
    socket.once('error', () => end())
    socket.on('message', said => {
      if (said.length >= 12 && said.readUInt16BE() === question.readUInt16BE()) end(said)
    })
    socket.connect(port, server, () => socket.send(question))
  })
}

/** Both ways with two bytes of length in front (RFC 1035, 4.2.2). */
function stream(question: Buffer, server: string, port: number): Promise<Buffer | undefined> {
  const socket = connect(port, server)
  return new Promise(resolve => {
    const end = (said?: Buffer) => {
      socket.destroy()
      resolve(said)
    }
    let heard: Buffer = Buffer.alloc(0)
    socket.setTimeout(PATIENCE, () => end())
    socket.once('error', () => end())
    socket.once('close', () => end())
    socket.on('data', (part: Buffer) => {
      heard = Buffer.concat([heard, part])
      const message = framed(heard)
      if (message) end(message)
    })
    socket.write(frame(question))
  })
}

export function frame(message: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  return Buffer.concat([length, message])
}

/** The first message of a stream, once it is there whole. */
export function framed(bytes: Buffer): Buffer | undefined {
  if (bytes.length < 2) return undefined
  const length = bytes.readUInt16BE()
  return bytes.length >= 2 + length ? bytes.subarray(2, 2 + length) : undefined
}
